// @vitest-environment node
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LiveKitEvent } from '@roomwatch/react';
import { describe, expect, it } from 'vitest';
import { doerIn } from '@/events/doers';
import { describeEvent } from '@/events/event-words';
import { calledIn, noteNames } from '@/events/names';

const say = (data: LiveKitEvent, room: string | null = 'standup') => {
  const called = calledIn({ data, project: 'default' });
  const { subject, verb, preposition, detail } = describeEvent({ type: data.event, data, room }, called);
  return `${subject} ${verb} ${preposition}${room}${detail ? ` · ${detail}` : ''}`;
};

describe('real webhooks of LiveKit', () => {
  const folder = fileURLToPath(new URL('../../fixtures/webhooks/', import.meta.url));
  it.each(readdirSync(folder).filter((name) => name.endsWith('.json')))('%s becomes a sentence', (name) => {
    const data = JSON.parse(readFileSync(`${folder}${name}`, 'utf8')) as LiveKitEvent;
    const words = describeEvent({ type: data.event, data, room: 'standup' });
    expect(words.verb).not.toBe('');
    expect(words.topic).not.toBe('other');
    expect(JSON.stringify(words)).not.toContain('undefined');
  });
});

it('names the participant who left, and the reason', () =>
  expect(
    say({ event: 'participant_left', participant: { identity: 'bob', disconnectReason: 'DUPLICATE_IDENTITY' } }),
  ).toBe('bob left standup · replaced by the same identity'));

it('marks watchers of Roomwatch, but not a visible participant with such an identity', () => {
  const participant = { identity: 'roomwatch:ada:x1', disconnectReason: 'PARTICIPANT_REMOVED' };
  const hidden = { ...participant, permission: { hidden: true } };
  expect(say({ event: 'participant_joined', participant: hidden })).toBe(
    'roomwatch:ada:x1 joined standup · hidden (Roomwatch watcher)',
  );
  expect(say({ event: 'participant_left', participant: hidden })).toBe(
    'roomwatch:ada:x1 left standup · hidden (Roomwatch watcher)',
  );
  expect(say({ event: 'participant_joined', participant })).toBe('roomwatch:ada:x1 joined standup');
});

it('reads a track without a type as audio, because LiveKit leaves out zero values', () => {
  expect(say({ event: 'track_published', participant: { identity: 'bob' }, track: { sid: 'TR_1' } })).toBe(
    'bob published audio track in standup',
  );
  expect(
    say({
      event: 'track_published',
      participant: { identity: 'bob' },
      track: { type: 'VIDEO', source: 'SCREEN_SHARE' },
    }),
  ).toBe('bob published screen share track in standup');
});

it('is passive about a mute, because the event does not say who muted', () => {
  const data = {
    event: 'track_muted',
    participant: { identity: 'troll', name: 'Troll' },
    track: { source: 'MICROPHONE' },
  };
  expect(say(data)).toBe('Troll’s microphone was muted in standup');
  expect(describeEvent({ type: data.event, data, room: 'standup' }).identity).toBe('troll');
  expect(describeEvent({ type: data.event, data, room: 'standup' }).who).toBe('troll');
});

it.each([
  ['CLIENT_INITIATED', 'bob left standup'],
  ['SIGNAL_CLOSE', 'bob left standup · connection lost (signal closed)'],
  ['USER_REJECTED', 'bob left standup · declined or busy'],
  ['A_NEW_REASON', 'bob left standup · a new reason'],
])('says why a participant left: %s', (disconnectReason, sentence) =>
  expect(say({ event: 'participant_left', participant: { identity: 'bob', disconnectReason } })).toBe(sentence),
);

it('tells a recording that failed from one that ended', () => {
  const rtmp = { event: 'egress_started', egressInfo: { streamResults: [{ url: 'rtmp://a' }], fileResults: [] } };
  expect(describeEvent({ type: 'egress_started', data: rtmp, room: 'r' })).toMatchObject({ subject: 'Stream' });
  const failed = { event: 'egress_ended', egressInfo: { status: 'EGRESS_FAILED', error: 'no disk' } };
  expect(describeEvent({ type: 'egress_ended', data: failed, room: 'r' })).toMatchObject({
    turn: 'failed',
    detail: 'no disk',
  });
});

it.each([
  { event: 'hologram_projected' },
  { event: 'participant_left', participant: null },
  { event: 'track_published', track: 'text', participant: 7 },
  { event: 'egress_updated', egressInfo: [] },
  { event: 'constructor' },
])('does not throw on unexpected data: %j', (data) => {
  expect(() => describeEvent({ type: data.event, data: data as unknown as LiveKitEvent, room: null })).not.toThrow();
});

it.each([
  [{ source: 'MICROPHONE' }, 'audio'],
  // LiveKit leaves out zero values: a track without a type is audio.
  [{}, 'audio'],
  [{ source: 'CAMERA', type: 'VIDEO' }, 'video'],
  [{ type: 'VIDEO' }, 'video'],
  [{ source: 'SCREEN_SHARE', type: 'VIDEO' }, 'screen'],
  [{ source: 'SCREEN_SHARE_AUDIO' }, 'screen'],
  [{ type: 'DATA' }, undefined],
] as const)('a track has the icon of its medium: %j', (track, medium) => {
  expect(describeEvent({ type: 'track_published', data: { event: 'track_published', track }, room: 'a' }).medium).toBe(
    medium,
  );
});

describe('an event of a track, which has only the sid and identity of its participant', () => {
  const heard = (event: string, participant: Record<string, unknown>, project = 'default', past = false) =>
    noteNames([{ type: event, data: { event, participant }, project }], past);
  const published = (sid: string) => say({ event: 'track_published', participant: { sid, identity: 'farid-567' } });

  it('has the name of the participant, and keeps the identity', () => {
    expect(published('PA_f')).toBe('farid-567 published audio track in standup');
    heard('participant_joined', { sid: 'PA_f', identity: 'farid-567', name: 'Farid' });
    expect(published('PA_f')).toBe('Farid published audio track in standup');
    const data = { event: 'track_published', participant: { sid: 'PA_f', identity: 'farid-567' } };
    expect(describeEvent({ type: data.event, data, room: 'standup' }, 'Farid').identity).toBe('farid-567');
  });

  it('follows a change of the name; an older event does not undo it', () => {
    heard('participant_updated', { sid: 'PA_g', name: 'Grace H.' });
    heard('participant_joined', { sid: 'PA_g', name: 'Grace' }, 'default', true);
    expect(published('PA_g')).toBe('Grace H. published audio track in standup');
    heard('participant_updated', { sid: 'PA_g', name: '' });
    expect(published('PA_g')).toBe('farid-567 published audio track in standup');
  });

  it('is independent of the same sid in another project', () => {
    heard('participant_joined', { sid: 'PA_h', name: 'Hiro' }, 'staging');
    expect(published('PA_h')).toBe('farid-567 published audio track in standup');
  });
});

describe('conditions', () => {
  const condition = {
    id: 'egress_failed:EG_1',
    kind: 'egress_failed',
    severity: 'critical',
    values: { error: 'S3 403' },
  };
  it.each([
    ['opened', {}, 'Recording failed  in standup · S3 403'],
    ['closed', {}, 'Recording failed is over in standup'],
    ['acknowledged', { by: 'olga', reason: 'known' }, 'Recording failed acknowledged by olga in standup · known'],
    ['unacknowledged', { by: 'olga' }, 'Recording failed no longer acknowledged by olga in standup'],
  ])('%s', (what, more, expected) =>
    expect(say({ event: `roomwatch.condition_${what}`, condition, ...more })).toBe(expected),
  );
  it('of a newer version or without a body are shown all the same', () => {
    expect(say({ event: 'roomwatch.condition_opened' })).toBe('Condition  in standup');
    expect(say({ event: 'roomwatch.condition_escalated', condition })).toBe(
      'standup roomwatch.condition escalated in standup',
    );
  });
});

describe('the user whose command caused an event', () => {
  const entry = (action: string, target: string | null, more = {}) => ({
    at: 100_000,
    user: 'olga',
    action,
    project: 'default',
    room: 'standup',
    target,
    outcome: 'done',
    ...more,
  });
  const event = (type: string, more: Partial<LiveKitEvent> = {}, timestamp = 102_000) => ({
    type,
    data: { event: type, participant: { identity: 'ada' }, ...more },
    project: 'default',
    room: 'standup',
    timestamp,
  });
  const removed = { participant: { identity: 'ada', disconnectReason: 'PARTICIPANT_REMOVED' } };
  const mute = entry('track.mute', 'ada/TR_1');
  const track = { track: { sid: 'TR_1' } };

  it.each([
    ['a mute', [mute], event('track_muted', track), 'olga'],
    ['a mute of another track', [mute], event('track_muted', { track: { sid: 'TR_2' } }), null],
    ['an unmute', [mute], event('track_unmuted', track), null],
    ['a mute by herself, much later', [mute], event('track_muted', track, 140_000), null],
    ['a mute before', [mute], event('track_muted', track, 90_000), null],
    ['a mute that was refused', [{ ...mute, outcome: 'refused' }], event('track_muted', track), null],
    ['a removal', [entry('participant.remove', 'ada')], event('participant_left', removed), 'olga'],
    ['a leave', [entry('participant.remove', 'ada')], event('participant_left'), null],
    ['an end', [entry('room.end', null)], event('room_finished'), 'olga'],
    ['an end of another room', [entry('room.end', null, { room: 'retro' })], event('room_finished'), null],
  ])('%s', (_name, entries, message, expected) => expect(doerIn(entries, message)).toBe(expected));

  it('is part of the sentence', () => {
    const words = (data: LiveKitEvent) => {
      const { subject, verb, detail } = describeEvent({ type: data.event, data, room: 'standup' }, null, 'olga');
      return [subject, verb, detail].filter(Boolean).join(' ');
    };
    const ada = { identity: 'ada' };
    expect(words({ event: 'track_muted', participant: ada, track: { source: 'MICROPHONE' } })).toBe(
      'ada’s microphone was muted by olga',
    );
    expect(words({ event: 'participant_left', ...removed })).toBe('ada left removed by olga');
    expect(words({ event: 'room_finished' })).toBe('standup ended by olga');
  });
});
