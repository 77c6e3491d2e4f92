import type { Participation, SessionDetail, SessionTrack } from '@roomwatch/react';
import { expect, test } from 'vitest';
import { endWords } from '@/sessions/end-words';
import { leaveWords, TROUBLE } from '@/sessions/leave-words';
import { recordingWords } from '@/sessions/recording-mark';
import { changesOf, labelPlace, momentOf, ticksOf, timelineOf } from '@/sessions/timeline';

const stay = (
  sid: string,
  identity: string,
  joinedAt: number | null,
  leftAt: number | null,
  more = {},
): Participation => ({
  sid,
  identity,
  name: '',
  kind: 'standard',
  hidden: false,
  watcher: false,
  joinedAt: joinedAt as number,
  leftAt,
  leftNotBefore: null,
  disconnectReason: null,
  removedBy: null,
  source: 'webhook',
  ...more,
});
const track = (
  sid: string,
  participantSid: string,
  publishedAt: number,
  unpublishedAt: number | null,
): SessionTrack => ({
  sid,
  participantSid,
  identity: '',
  name: '',
  type: 'audio',
  source: 'microphone',
  publishedAt,
  unpublishedAt,
});
const detail = (
  participations: Participation[],
  more: Partial<SessionDetail> = {},
  endedAt: number | null = 90_000,
): SessionDetail => ({
  session: {
    project: 'default',
    sid: 'RM_1',
    room: 'standup',
    startedAt: 10_000,
    endedAt,
    endReason: null,
    endedBy: null,
    participantCount: 1,
    peak: 1,
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
  },
  participations,
  tracks: [],
  egress: [],
  ...more,
});

test('a participant who rejoins has one lane with two stays', () => {
  const { lanes } = timelineOf(
    detail([
      stay('PA_2', 'ada', 50_000, null),
      stay('PA_b', 'bob', 30_000, 60_000),
      stay('PA_1', 'ada', 20_000, 40_000),
    ]),
    0,
  );
  expect(lanes.map((lane) => [lane.identity, lane.stays.map((one) => one.participation.sid)])).toEqual([
    ['ada', ['PA_1', 'PA_2']],
    ['bob', ['PA_b']],
  ]);
});

test('an inferred leave is a range, in which the participant is uncertain', () => {
  const timeline = timelineOf(detail([stay('PA_1', 'ada', 20_000, 60_000, { leftNotBefore: 40_000 })]), 0);
  expect(timeline.lanes[0]?.stays[0]?.uncertainFrom).toBe(40_000);
  const at = (millis: number) => {
    const { present, unsure } = momentOf(timeline, millis);
    return [present.length, unsure.length];
  };
  expect([at(19_999), at(20_000), at(39_999), at(40_000), at(60_000)]).toEqual([
    [0, 0],
    [1, 0],
    [1, 0],
    [0, 1],
    [0, 0],
  ]);
});

test('the range of an inferred leave does not start before the join', () => {
  const { lanes } = timelineOf(detail([stay('PA_1', 'ada', 50_000, 60_000, { leftNotBefore: 40_000 })]), 0);
  expect(lanes[0]?.stays[0]?.uncertainFrom).toBe(50_000);
});

test('a stay without a leave ends with the session; in a live session it has no end', () => {
  expect(timelineOf(detail([stay('PA_1', 'ada', 20_000, null)]), 0).lanes[0]?.stays[0]?.to).toBe(90_000);
  const live = timelineOf(detail([stay('PA_1', 'ada', 20_000, null)], {}, null), 70_000);
  expect(live.lanes[0]?.stays[0]?.to).toBeNull();
  expect(live.to).toBe(70_000);
});

test('a stay without a join starts with the session, and is marked', () => {
  const [lane] = timelineOf(detail([stay('PA_1', 'ada', null, 50_000)]), 0).lanes;
  expect(lane?.stays[0]).toMatchObject({ from: 10_000, joinKnown: false });
});

test('a join before the start and a leave after the end widen the timeline', () => {
  const { from, to } = timelineOf(detail([stay('PA_1', 'ada', 9_000, 95_000)]), 0);
  expect([from, to]).toEqual([9_000, 95_000]);
});

test('a moment has its tracks, and every change is a step', () => {
  const timeline = timelineOf(
    detail([stay('PA_1', 'ada', 20_000, 60_000)], {
      tracks: [track('TR_1', 'PA_1', 25_000, 30_000), track('TR_2', 'PA_1', 28_000, null)],
    }),
    0,
  );
  expect(momentOf(timeline, 29_000).tracks.map(({ sid }) => sid)).toEqual(['TR_1', 'TR_2']);
  expect(momentOf(timeline, 59_999).tracks.map(({ sid }) => sid)).toEqual(['TR_2']);
  expect(momentOf(timeline, 60_000).tracks).toEqual([]);
  expect(changesOf(timeline)).toEqual([10_000, 20_000, 25_000, 28_000, 30_000, 60_000]);
});

test.each([
  [4_000, 8],
  [90_000, 8],
  [3_600_000, 8],
  [40 * 86_400_000, 8],
])('the axis of %i ms has round times, not more than asked for', (span, max) => {
  const from = Date.UTC(2026, 10, 23, 9, 7, 31);
  const ticks = ticksOf(from, from + span, max);
  expect(ticks.length).toBeGreaterThan(1);
  expect(ticks.length).toBeLessThanOrEqual(max + 1);
  const steps = new Set(ticks.slice(1).map((at, i) => at - (ticks[i] ?? 0)));
  expect(steps.size).toBe(1);
  for (const at of ticks) expect(new Date(at).getMilliseconds()).toBe(0);
});

test('a track that was reported late lies within the stay of its participant', () => {
  const { lanes } = timelineOf(
    detail([stay('PA_1', 'ada', 20_000, 40_000), stay('PA_2', 'bob', 20_000, null)], {
      tracks: [
        track('TR_1', 'PA_1', 19_000, 41_700),
        track('TR_2', 'PA_1', 25_000, 30_000),
        track('TR_3', 'PA_2', 25_000, null),
      ],
    }),
    0,
  );
  expect(
    lanes.map(({ stays }) => stays.flatMap(({ tracks }) => tracks.map((one) => [one.publishedAt, one.unpublishedAt]))),
  ).toEqual([
    [
      [20_000, 40_000],
      [25_000, 30_000],
    ],
    [[25_000, null]],
  ]);
});

test.each([
  ['a long stay has it inside', [[10, 90]], 0, 'inside'],
  ['a short stay has it after its end', [[10, 12]], 0, 'after'],
  ['at the right end it is before the stay', [[88, 90]], 0, 'before'],
  [
    'it does not cover the next stay',
    [
      [40, 42],
      [44, 90],
    ],
    0,
    'before',
  ],
  [
    'without space it is left out',
    [
      [10, 38],
      [40, 42],
      [44, 90],
    ],
    1,
    null,
  ],
] as const)('the label of a leave: %s', (_name, times, index, expected) => {
  const all = times.map(([from, to], n) => stay(`PA_${n}`, 'ada', from * 1_000, to * 1_000));
  const { lanes } = timelineOf(detail(all, {}, 90_000), 0);
  // Ten pixels a second: a label of 16 letters takes almost 12 seconds.
  const place = labelPlace(lanes[0]?.stays ?? [], index, 'connection lost!', { from: 10_000, to: 90_000, scale: 0.01 });
  expect(place).toBe(expected);
});

test.each([
  ['user_unavailable', null, 'no answer', true],
  ['user_rejected', null, 'declined or busy', false],
  ['sip_trunk_failure', null, 'SIP trunk error', true],
  ['signal_close', null, 'connection lost (signal closed)', true],
  ['client_initiated', null, 'left', false],
  ['participant_removed', null, 'removed', false],
  ['participant_removed', 'olga', 'removed by olga', false],
])('a leave with %s by %s is "%s"', (disconnectReason, removedBy, words, trouble) => {
  const { lanes } = timelineOf(detail([stay('PA_1', 'ada', 20_000, 60_000, { disconnectReason, removedBy })]), 0);
  const one = lanes[0]?.stays[0];
  expect(one && leaveWords(one)).toBe(words);
  expect(TROUBLE.has(disconnectReason)).toBe(trouble);
});

test.each([
  [null, null, null],
  ['everyone_left', null, 'everyone left'],
  ['room_deleted', null, 'deleted through the API'],
  ['room_deleted', 'olga', 'ended by olga'],
  ['nobody_joined', null, 'nobody joined'],
  ['a_new_reason', null, 'a new reason'],
])('an end with reason %s by %s is "%s"', (endReason, endedBy, words) => {
  expect(endWords({ endReason, endedBy })).toBe(words);
});

test.each([
  [false, null, null],
  [true, null, 'recorded'],
  [true, 'complete', 'recorded'],
  [true, 'failed', 'recording failed'],
  [false, 'failed', 'recording failed'],
  [true, 'partial', 'partly recorded'],
])('recorded %s with outcome %s is "%s"', (recorded, recordingOutcome, words) => {
  expect(recordingWords({ recorded, recordingOutcome })).toBe(words);
});
