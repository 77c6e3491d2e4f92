import type { WatchedParticipant, WatchedTrack } from '@roomwatch/react/livekit';
import { expect, it } from 'vitest';
import { chooseTiles } from '@/watch/watch-stage';

const camera: WatchedTrack = {
  sid: 'TR_1',
  kind: 'video',
  source: 'camera',
  muted: false,
  subscribed: true,
  width: null,
  height: null,
  attach: () => () => {},
};
const person = (identity: string, tracks: WatchedTrack[] = []): WatchedParticipant => ({
  sid: identity,
  identity,
  name: '',
  kind: 'standard',
  joinedAt: null,
  speaking: false,
  audioLevel: 0,
  quality: 'unknown',
  tracks,
});
const identities = (list: WatchedParticipant[]) => list.map(({ identity }) => identity);

it('gives every participant a tile below the limit', () => {
  const all = [person('a'), person('b')];
  expect(chooseTiles(all, [], 2)).toBe(all);
});

it('prefers speakers, then cameras, and keeps the order of the room', () => {
  const all = [person('a'), person('b', [camera]), person('c'), person('d')];
  expect(identities(chooseTiles(all, [], 2))).toEqual(['a', 'b']);
  expect(identities(chooseTiles(all, ['d'], 2))).toEqual(['b', 'd']);
});
