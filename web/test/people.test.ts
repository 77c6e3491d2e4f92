import type { Participant } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { callOf, nameOf, orderParticipants, pretty, resolution, trackName } from '@/room/people';

const person = (sid: string, more: Partial<Participant> = {}): Participant => ({
  project: 'default',
  room: 'r',
  roomSid: 'RM_1',
  sid,
  identity: sid.toLowerCase(),
  name: '',
  kind: 'standard',
  state: 'active',
  hidden: false,
  watcher: false,
  joinedAt: 1,
  metadata: '',
  attributes: {},
  permission: null,
  region: null,
  disconnectReason: null,
  tracks: [],
  ...more,
});

it('orders people, machines, hidden participants; an unknown kind is a machine', () => {
  const list = [
    person('WATCHER', { hidden: true, watcher: true }),
    person('EGRESS', { kind: 'egress' }),
    person('HOLOGRAM', { kind: 'hologram' }),
    person('AGENT', { kind: 'agent' }),
    person('CALLER', { kind: 'sip' }),
    person('HIDDEN', { hidden: true }),
    person('LATE', { joinedAt: 9 }),
    person('UNKNOWN', { joinedAt: null }),
    person('EARLY'),
  ];
  expect(orderParticipants(list).map(({ sid }) => sid)).toEqual([
    'EARLY',
    'LATE',
    'UNKNOWN',
    'CALLER',
    'AGENT',
    'HOLOGRAM',
    'EGRESS',
    'HIDDEN',
    'WATCHER',
  ]);
});

it('uses the name, else the identity, else the sid', () => {
  expect(nameOf({ name: 'Alice', identity: 'alice', sid: 'PA_1' })).toBe('Alice');
  expect(nameOf({ name: '', identity: 'alice', sid: 'PA_1' })).toBe('alice');
  expect(nameOf({ name: '', identity: '', sid: 'PA_1' })).toBe('PA_1');
});

it('returns the name and the size of a track only if they are known', () => {
  expect(trackName({ source: 'screen_share', type: 'video' })).toBe('screen share');
  expect(trackName({ source: 'unknown', type: 'audio' })).toBe('audio track');
  expect(resolution({ width: 720, height: 1280 })).toBe('720p');
  expect(resolution({ width: 0, height: 0 })).toBeNull();
});

it('reads a call from its attributes; missing ones are null', () =>
  expect(callOf({ attributes: { 'sip.phoneNumber': '+49', 'sip.callStatus': 'active', 'sip.trunkID': '' } })).toEqual({
    number: '+49',
    trunkNumber: null,
    trunkId: null,
    ruleId: null,
    callId: null,
    status: 'active',
  }));

it('indents JSON and leaves other text alone', () => {
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(pretty('hello {')).toBe('hello {');
});
