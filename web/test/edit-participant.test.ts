import type { Participant } from '@roomwatch/react';
import { expect, it } from 'vitest';
import { changesOf } from '@/room/edit-participant';

const before: Participant = {
  project: 'default',
  room: 'r',
  roomSid: 'RM_1',
  sid: 'PA_1',
  identity: 'alice',
  name: 'Alice',
  kind: 'standard',
  state: 'active',
  hidden: false,
  watcher: false,
  joinedAt: 1,
  metadata: 'm',
  attributes: { role: 'host', team: 'x' },
  permission: { canPublish: true, canSubscribe: true, canPublishData: false, canPublishSources: ['CAMERA'] },
  region: null,
  disconnectReason: null,
  tracks: [],
};
const draft = {
  name: 'Alice',
  metadata: 'm',
  attributes: [
    { id: 0, key: 'role', value: 'host' },
    { id: 1, key: 'team', value: 'x' },
  ],
  permission: { canPublish: true, canSubscribe: true, canPublishData: false },
};

it('sends nothing if nothing differs', () => expect(changesOf(before, draft)).toEqual({}));

it('sends only the fields that differ', () =>
  expect(changesOf(before, { ...draft, name: 'Al' })).toEqual({ name: 'Al' }));

it('removes an attribute with an empty value, and ignores one without a name', () =>
  expect(
    changesOf(before, {
      ...draft,
      attributes: [
        { id: 0, key: 'role', value: 'guest' },
        { id: 2, key: '', value: 'lost' },
      ],
    }),
  ).toEqual({ attributes: { role: 'guest', team: '' } }));

it('sends the whole permission if it changed, with the fields that the dialog does not show', () =>
  expect(changesOf(before, { ...draft, permission: { ...draft.permission, canPublish: false } })).toEqual({
    permission: { canPublish: false, canSubscribe: true, canPublishData: false, canPublishSources: ['CAMERA'] },
  }));
