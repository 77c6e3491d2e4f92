// Issue 2: the events of a LiveKit room reach a reader, durably and in order.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AccessToken, WebhookReceiver } from 'livekit-server-sdk';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { joinInPage, launch, stage } from '../harness/browser.js';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { seqOf } from '../harness/reader.js';
import { roomwatchBinary } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const FIXTURE = join(import.meta.dirname, '..', '..', 'fixtures', 'webhooks', 'participant_joined.json');

let world: World;
beforeAll(async () => {
  world = await World.start('path');
});
afterAll(() => world?.stop());

/** Signs a body with LiveKit's SDK for Node. */
async function sign(body: string, key = API_KEY, secret = API_SECRET): Promise<string> {
  const token = new AccessToken(key, secret, { ttl: '5m' });
  token.sha256 = createHash('sha256').update(body).digest('base64');
  return token.toJwt();
}

function post(body: string, authorization: string): Promise<Response> {
  return fetch(world.roomwatch.webhookUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/webhook+json', authorization },
    body,
  });
}

describe('a meeting on a real LiveKit server', () => {
  it('reaches a reader once, in order and without secrets, and is the same in the log', async () => {
    const { livekit, roomwatch } = world;
    const cast = await world.cast();
    const reader = await roomwatch.read();
    await livekit.createRoom('standup', { metadata: 'm' });
    const alice = await cast.join('standup', 'alice', { name: 'Alice', attributes: { role: 'host' } });
    await reader.find("alice's join", (m) => m.type === 'participant_joined');
    const microphone = await alice.publish('microphone');
    await reader.find('the microphone', (m) => m.data.track?.sid === microphone);
    const camera = await alice.publish('camera');
    await reader.find('the camera', (m) => m.data.track?.sid === camera);
    await alice.unpublish(microphone);
    await reader.find('its end', (m) => m.type === 'track_unpublished' && m.data.track.sid === microphone);
    await alice.leave();
    await reader.find("alice's leave", (m) => m.type === 'participant_left');
    await livekit.deleteRoom('standup');
    await reader.find('the end', (m) => m.type === 'room_finished');

    const meeting = reader.messages.filter((m) => m.room === 'standup' && m.source === 'webhook');
    expect(meeting.map((m) => m.type)).toEqual([
      'room_started',
      'participant_joined',
      'track_published',
      'track_published',
      'track_unpublished',
      'track_unpublished',
      'participant_left',
      'room_finished',
    ]);
    expect(meeting[1]?.data.participant).toMatchObject({
      sid: alice.sid,
      identity: 'alice',
      name: 'Alice',
      attributes: { role: 'host' },
    });
    expect(meeting[3]?.data.track).toMatchObject({
      sid: camera,
      type: 'VIDEO',
      source: 'CAMERA',
      width: 160,
      height: 96,
    });
    expect(reader.faults()).toEqual([]);
    expect(JSON.stringify(reader.messages)).not.toContain('turnPassword');

    const first = seqOf(reader.messages[0]?.cursor ?? '');
    const page = (await roomwatch.log()).filter((m) => seqOf(m.cursor) >= first).slice(0, reader.messages.length);
    expect(page).toEqual(reader.messages);
    reader.close();
  });

  it('continues for an EventSource after kill -9 and restart, without a gap or a duplicate', async () => {
    const { livekit, roomwatch } = world;
    const cast = await world.cast();
    const reader = await roomwatch.read();
    const bob = await cast.join('kept', 'bob');
    await reader.find("bob's join", (m) => m.data.participant?.sid === bob.sid);
    for (let round = 0; round < 3; round++) {
      await roomwatch.kill();
      // These happen while Roomwatch is down. LiveKit retries for 15 s.
      const sid = await bob.publish('screen_share');
      await roomwatch.up();
      await reader.find('what happened meanwhile', (m) => m.type === 'track_published' && m.data.track.sid === sid);
      await bob.unpublish(sid);
    }
    await livekit.deleteRoom('kept');
    await reader.find('the end', (m) => m.type === 'room_finished' && m.room === 'kept');
    await until('the reader to have come back each time', () => reader.connections.length >= 4);
    expect(reader.faults()).toEqual([]);
    reader.close();
  });

  it('has the tracks of a browser, and the leave of a crashed participant', async () => {
    const { roomwatch } = world;
    const doomed = await world.cast();
    const reader = await roomwatch.read('?room=stage');
    const theatre = await stage();
    let browser: Browser | undefined;
    try {
      browser = await launch();
      const page = await browser.newPage();
      await page.goto(theatre.url);
      const sid = await joinInPage(page, world.livekit.wsUrl, 'stage', 'carol');
      await page.evaluate(() => (window as any).room.localParticipant.setCameraEnabled(true));
      const camera = await reader.find("the browser's camera", (m) => m.type === 'track_published');
      expect(camera.data.participant.sid).toBe(sid);
      expect(camera.data.track).toMatchObject({ source: 'CAMERA', simulcast: true });
      const mallory = await doomed.join('stage', 'mallory');
      await doomed.crash();
      const left = await reader.find(
        'the crash',
        (m) => m.type === 'participant_left' && m.data.participant.sid === mallory.sid,
        60_000,
      );
      expect(left.data.participant.disconnectReason).toBe('CONNECTION_TIMEOUT');
    } finally {
      await browser?.close();
      await theatre.close();
      reader.close();
    }
  });
});

describe("LiveKit's own SDK for Node", () => {
  it('signs a webhook that Roomwatch accepts once', async () => {
    const body = readFileSync(FIXTURE, 'utf8').trim();
    const reader = await world.roomwatch.read('?type=participant_joined');
    expect((await post(body, await sign(body))).status).toBe(200);
    expect((await post(body, await sign(body))).status).toBe(200);
    const { id } = JSON.parse(body);
    await reader.find('the event', (m) => m.data.id === id);
    expect((await world.roomwatch.log()).filter((m) => m.data.id === id)).toHaveLength(1);
    reader.close();
  });

  it('gets 401 for another key or another body, and nothing is stored', async () => {
    const body = readFileSync(FIXTURE, 'utf8')
      .trim()
      .replace(/"id":"EV_\w+"/, '"id":"EV_forged"');
    expect((await post(body, await sign(`${body} `))).status).toBe(401);
    expect((await post(body, await sign(body, API_KEY, 'REDACT-ME-another-secret-of-32-bytes-'))).status).toBe(401);
    expect((await post(body, await sign(body, 'APIanother'))).status).toBe(401);
    expect((await post(body, '')).status).toBe(401);
    expect((await world.roomwatch.log()).some((m) => m.data.id === 'EV_forged')).toBe(false);
  });

  it('verifies every webhook of `roomwatch simulate`', async () => {
    const receiver = new WebhookReceiver(API_KEY, API_SECRET);
    const events: string[] = [];
    const refused: string[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        receiver
          .receive(Buffer.concat(chunks).toString('utf8'), request.headers.authorization)
          .then((event) => events.push(event.event))
          .catch((error) => refused.push(String(error)))
          .finally(() => response.end());
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (!address || typeof address !== 'object') throw new Error('no port');
    const args = ['--rooms', '2', '--participants', '2', '--rate', '20', '--duration', '2'];
    await promisify(execFile)(
      roomwatchBinary(),
      ['simulate', '--url', `http://127.0.0.1:${address.port}/hook`, ...args],
      {
        env: { ...process.env, LIVEKIT_API_KEY: API_KEY, LIVEKIT_API_SECRET: API_SECRET },
        timeout: 60_000,
      },
    );
    server.close();
    expect(refused).toEqual([]);
    expect(new Set(events)).toContain('room_started');
    expect(new Set(events)).toContain('track_published');
    expect(events.length).toBeGreaterThan(20);
  });
});
