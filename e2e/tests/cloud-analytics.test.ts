// Issue 17: a program that was written for LiveKit Cloud's analytics API reads Roomwatch. Only its address differs.
import { AccessToken } from 'livekit-server-sdk';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { finished, joined, post, started } from '../web/post.js';

let roomwatch: Roomwatch;
beforeAll(async () => {
  roomwatch = await Roomwatch.start({ name: 'cloud-analytics', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  for (const name of ['first', 'second', 'third']) {
    await post(roomwatch, started(name));
    await post(roomwatch, joined(name, 'ada'));
    if (name !== 'third') await post(roomwatch, finished(name));
  }
});
afterAll(() => roomwatch?.close());

/** The program: it totals the sessions of a project, page by page, and their participants. */
async function report(base: string, projectId: string) {
  const at = new AccessToken(API_KEY, API_SECRET, { ttl: 60 * 60 * 24 });
  at.addGrant({ roomList: true });
  const token = await at.toJwt();
  const ask = async (path: string) => {
    const response = await fetch(`${base}/api/project/${projectId}/sessions/${path}`, {
      method: 'GET',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    });
    if (!response.ok) throw new Error(`Network response was not ok: ${response.status}`);
    return response.json();
  };
  const rooms: string[] = [];
  const people = new Set<string>();
  let bytes: number | null = null;
  for (let page = 0; ; page++) {
    const { sessions } = await ask(`?limit=2&page=${page}&start=2020-01-01`);
    if (sessions.length === 0) break;
    for (const { sessionId, roomName, createdAt, endedAt, bandwidthIn, numParticipants } of sessions) {
      if (Number.isNaN(Date.parse(createdAt))) throw new Error(`not a time: ${createdAt}`);
      if (bandwidthIn !== null) bytes = (bytes ?? 0) + bandwidthIn;
      const { roomId, participants } = await ask(sessionId);
      if (roomId !== sessionId || participants.length !== numParticipants) throw new Error('another session');
      for (const { participantIdentity } of participants) people.add(participantIdentity);
      rooms.push(`${roomName}${endedAt ? '' : ' (live)'}`);
    }
  }
  return { rooms, people: [...people], bytes };
}

it('a program for LiveKit Cloud reads the sessions, and no bandwidth is invented', async () => {
  expect(await report(roomwatch.url, 'default')).toEqual({
    rooms: ['third (live)', 'second', 'first'],
    people: ['ada'],
    bytes: null,
  });
});
