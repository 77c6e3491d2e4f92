import type { Participation, SessionDetail } from '@roomwatch/react';
import { expect, test } from 'vitest';
import { type Sentence, summaryOf } from '@/sessions/summary';

const START = new Date(2026, 10, 23, 14, 0, 0).getTime();
/** 14:00:00 and so many seconds. */
const at = (seconds: number) => START + seconds * 1_000;

const stay = (name: string, joined: number, left: number | null, reason: string | null, more = {}): Participation => ({
  sid: `PA_${name}_${joined}`,
  identity: name.toLowerCase(),
  name,
  kind: 'standard',
  hidden: false,
  watcher: false,
  joinedAt: at(joined),
  leftAt: left === null ? null : at(left),
  leftNotBefore: null,
  disconnectReason: reason,
  removedBy: null,
  source: 'webhook',
  ...more,
});

function session(
  participations: Participation[],
  more: Partial<SessionDetail['session']> = {},
  egress: object[] = [],
): SessionDetail {
  const people = new Set(
    participations.filter(({ kind }) => kind !== 'agent' && kind !== 'egress').map(({ identity }) => identity),
  );
  return {
    session: {
      project: 'default',
      sid: 'RM_1',
      room: 'consult',
      startedAt: START,
      endedAt: at(300),
      endReason: null,
      endedBy: null,
      participantCount: people.size,
      peak: people.size,
      publisherCount: 0,
      agentCount: 0,
      callCount: 0,
      failedCalls: 0,
      lostConnections: 0,
      failedAgents: 0,
      failedRecordings: 0,
      participantMinutes: 0,
      agentMinutes: 0,
      callMinutes: 0,
      recorded: false,
      recordingOutcome: null,
      source: 'webhook',
      ...more,
    },
    participations,
    tracks: [],
    egress: egress as SessionDetail['egress'],
  };
}

const sentenceText = (sentence: Sentence) =>
  sentence.map((part) => (typeof part === 'string' ? part : part.name)).join('');
const text = (detail: SessionDetail, now = at(600)) => summaryOf(detail, now).map(sentenceText);

test('a name has the identity of the participant, and a user of Roomwatch has none', () => {
  const detail = session([stay('Ann', 0, 100, 'client_initiated'), stay('Bo', 0, 300, 'room_deleted')], {
    endedBy: 'olga',
    endReason: 'room_deleted',
  });
  const named = summaryOf(detail, at(600)).flatMap((sentence) => sentence.filter((part) => typeof part !== 'string'));
  expect(named).toEqual([{ name: 'Ann', identity: 'ann' }, { name: 'Bo', identity: 'bo' }, { name: 'olga' }]);
});

const agent = { kind: 'agent' };
const phone = { kind: 'sip' };

test.each<[string, SessionDetail, string[]]>([
  [
    'two people, and one loses the connection',
    session([stay('Dr. Weiss', 0, 191, 'signal_close'), stay('Jana Novak', 5, 232, 'client_initiated')], {
      endReason: 'everyone_left',
      lostConnections: 1,
      participantMinutes: 6.97,
    }),
    [
      'Dr. Weiss left first at 14:03:11: connection lost.',
      'Jana Novak left 41s later.',
      'In total 7 participant minutes.',
    ],
  ],
  [
    'everyone left in order',
    session(
      [
        stay('Ann', 0, 100, 'client_initiated'),
        stay('Cleo', 0, 150, 'connection_timeout'),
        stay('Bo', 0, 110, 'client_initiated'),
      ],
      { endReason: 'everyone_left', lostConnections: 1, participantMinutes: 12.3 },
    ),
    [
      'Ann left first at 14:01:40.',
      'Then Bo left at 14:01:50 and Cleo at 14:02:30 (connection timed out).',
      'In total 12 participant minutes.',
    ],
  ],
  [
    'two people whose leaves are in the same second',
    session([stay('Ann', 0, 100, 'connection_timeout'), stay('Bo', 0, 100.4, 'client_initiated')], {
      lostConnections: 1,
    }),
    ['Ann left first at 14:01:40: connection timed out.', 'Bo left at the same time.'],
  ],
  [
    'a stream is not a recording',
    session([stay('Ann', 0, 60, null), stay('Bo', 0, 90, null)], {}, [
      {
        egressId: 'EG_1',
        status: 'failed',
        error: 'RTMP refused',
        outputs: [{ kind: 'stream' }],
        startedAt: at(0),
        endedAt: at(60),
      },
    ]),
    [
      'Ann left first at 14:01:00.',
      'Bo left 30s later.',
      'The stream failed: RTMP refused.',
      'In total 1 stream minute.',
    ],
  ],
  [
    'a participant who came back counts by the last leave',
    session(
      [
        stay('Ann', 0, 20, 'signal_close'),
        stay('Ann', 30, 200, 'client_initiated'),
        stay('Bo', 0, 100, 'client_initiated'),
      ],
      { lostConnections: 1 },
    ),
    ['Bo left first at 14:01:40.', 'Ann left 1m 40s later.', '1 connection was lost.'],
  ],
  [
    'ended by an operator',
    session([stay('Ann', 0, 300, 'room_deleted'), stay('Bo', 0, 300, 'room_deleted')], {
      endedBy: 'olga',
      endReason: 'room_deleted',
      participantMinutes: 10,
    }),
    ['Ann and Bo were there until olga ended the room at 14:05:00.', 'In total 10 participant minutes.'],
  ],
  [
    'deleted by API, after one left',
    session([stay('Ann', 0, 60, 'client_initiated'), stay('Bo', 0, 300, 'room_deleted')], {
      endReason: 'room_deleted',
    }),
    ['Ann left first at 14:01:00.', 'Bo was there until the room was deleted through the API at 14:05:00.'],
  ],
  [
    'removed by an operator',
    session([
      stay('Troll', 0, 60, 'participant_removed', { removedBy: 'olga' }),
      stay('Bo', 0, 90, 'client_initiated'),
    ]),
    ['Troll left first at 14:01:00: removed by olga.', 'Bo left 30s later.'],
  ],
  [
    'the agent failed',
    session([stay('Assistant', 1, 61, 'agent_error', agent), stay('Ann', 0, 90, 'client_initiated')], {
      failedAgents: 1,
      participantMinutes: 1.5,
      agentMinutes: 1,
    }),
    [
      'Ann was the only person, and left at 14:01:30.',
      'The agent Assistant failed at 14:01:01.',
      'In total 1.5 participant minutes, 1 agent minute.',
    ],
  ],
  [
    'a call failed',
    session([stay('Assistant', 1, 60, 'room_deleted', agent), stay('Caller', 5, 9, 'sip_trunk_failure', phone)], {
      endReason: 'room_deleted',
      callCount: 1,
      failedCalls: 1,
      participantMinutes: 0.07,
      agentMinutes: 1,
      callMinutes: 0.03,
    }),
    [
      'The room was deleted through the API at 14:05:00.',
      'The call of Caller failed at 14:00:09: SIP trunk error.',
      'In total 0.1 participant minutes, 1 agent minute, less than 0.1 call minutes.',
    ],
  ],
  [
    'the recording failed',
    session([stay('Ann', 0, 60, null), stay('Bo', 0, 90, null)], { recordingOutcome: 'failed', failedRecordings: 1 }, [
      { outputs: [], status: 'failed', error: 'S3 403', startedAt: at(10), endedAt: at(100) },
    ]),
    [
      'Ann left first at 14:01:00.',
      'Bo left 30s later.',
      'The recording failed: S3 403.',
      'In total 1.5 recording minutes.',
    ],
  ],
  [
    'recorded partly',
    session([], { recordingOutcome: 'partial', endReason: 'nobody_joined' }, [
      { outputs: [], status: 'complete', error: '', startedAt: at(0), endedAt: at(60) },
      { outputs: [], status: 'limit_reached', error: '', startedAt: at(0), endedAt: at(60) },
    ]),
    ['No one joined.', 'One of 2 recordings reached a limit.', 'In total 2 recording minutes.'],
  ],
  ['no one came', session([], { endReason: 'nobody_joined' }), ['No one joined.']],
  [
    'only an agent came',
    session([stay('Assistant', 1, 61, 'client_initiated', agent)], { agentMinutes: 1 }),
    ['Only agents joined: Assistant.', 'In total 1 agent minute.'],
  ],
  [
    'still live',
    session([stay('Ann', 0, null, null), stay('Bo', 0, 60, 'client_initiated'), stay('Cleo', 0, null, null)], {
      endedAt: null,
      participantMinutes: 21,
    }),
    [
      'Bo left first at 14:01:00.',
      'Ann and Cleo are still there. Live for 10m 00s.',
      'In total 21 participant minutes.',
    ],
  ],
  [
    'live and alone',
    session([stay('Ann', 0, null, null)], { endedAt: null }),
    ['Ann is the only person. Live for 10m 00s.'],
  ],
  ['live and empty', session([], { endedAt: null }), ['No one has joined yet.']],
  [
    'uncertain times',
    session([stay('Ann', 0, 100, null, { leftNotBefore: at(71) }), stay('Bo', 0, 200, 'client_initiated')]),
    ['Ann left first between 14:01:11 and 14:01:40.', 'Bo left at 14:03:20.'],
  ],
  [
    'hidden watchers and recorders are not told',
    session(
      [
        stay('Ann', 0, 60, 'client_initiated'),
        stay('Olga', 0, 30, 'signal_close', { hidden: true, watcher: true, identity: 'roomwatch:olga' }),
        stay('EG_1', 0, 30, null, { kind: 'egress', hidden: true }),
      ],
      { participantCount: 1 },
    ),
    ['Ann was the only person, and left at 14:01:00.'],
  ],
])('%s', (_, detail, expected) => {
  expect(text(detail)).toEqual(expected);
});

test('many people: the first names and a number', () => {
  const people = Array.from({ length: 40 }, (_, n) => stay(`P${n}`, 0, 60 + n, 'client_initiated'));
  expect(text(session(people))).toEqual([
    'P0 left first at 14:01:00.',
    'Then P1 left at 14:01:01, P2 at 14:01:02 and 37 others until 14:01:39.',
  ]);
});

test('100,000 participants: numbers instead of names, in bounded time', () => {
  const people = Array.from({ length: 20_000 }, (_, n) => stay(`P${n}`, 0, 60, 'signal_close'));
  const detail = session(people, {
    participantCount: 100_000,
    peak: 31_000,
    lostConnections: 812,
    failedCalls: 3,
    participantMinutes: 1_234_567.8,
  });
  const begun = performance.now();
  expect(text(detail)).toEqual([
    '100,000 people took part, at most 31,000 at one time.',
    '3 calls failed; 812 connections were lost.',
    'In total 1,234,568 participant minutes.',
  ]);
  expect(performance.now() - begun).toBeLessThan(1_000);
});

test('a long or reversed name stays a part of its own', () => {
  const name = `\u202e${'x'.repeat(500)}`;
  const [first] = summaryOf(session([stay(name, 0, 60, null)]), at(600));
  expect(first?.[0]).toEqual({ name: `\u202e${'x'.repeat(119)}…`, identity: name });
});
