import { createServer } from 'node:http';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Cast } from '../harness/cast.js';
import { type LiveKit, mint } from '../harness/livekit.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { freePort, pause, until } from '../harness/wait.js';
import { World } from '../harness/world.js';

// `useRoomConnection` of packages/react with LiveKit's real client and server. The package's own tests use a fake client.

const cleanup: (() => unknown)[] = [];
let livekit: LiveKit;
let roomwatch: Roomwatch;
let cast: Cast;
let page: Page;
let origin: string;

const seen = (): Promise<any> => page.evaluate(() => (window as any).state);
const here = (identity: string) => async () =>
  (await livekit.listParticipants('studio').catch(() => [])).some((one: any) => one.identity === identity);

/** Opens the page as a hidden participant that can only subscribe, as with a token from Roomwatch. */
async function watch(identity: string): Promise<void> {
  const grant = {
    roomJoin: true,
    room: 'studio',
    hidden: true,
    canSubscribe: true,
    canPublish: false,
    canPublishData: false,
  };
  const query = new URLSearchParams({ url: livekit.wsUrl, token: await mint(grant, identity) });
  await page.goto(`${origin}/?${query}`);
  await until('the page to be in the room', async () => (await seen())?.status === 'connected');
}

beforeAll(async () => {
  const world = await World.start('react-room');
  cleanup.push(() => world.stop());
  ({ livekit, roomwatch } = world);
  cast = await world.cast();
  const built = await build({
    root: join(import.meta.dirname, '..'),
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"development"' },
    resolve: { conditions: ['roomwatch-source', 'browser', 'module', 'import'] },
    build: { write: false, minify: false, lib: { entry: 'pages/watch.tsx', formats: ['es'], fileName: 'watch' } },
  });
  const { output } = (Array.isArray(built) ? built[0] : built) as { output: { fileName: string; code?: string }[] };
  const server = createServer((request, response) => {
    const file = output.find(({ fileName }) => request.url === `/${fileName}`);
    // As if Roomwatch served the page to a signed-in operator. The test does not need the stream.
    if (request.url?.startsWith('/api/'))
      return roomwatch
        .request(request.url.startsWith('/api/events') ? 'HEAD' : (request.method ?? 'GET'), request.url)
        .then(({ status, text }) => response.writeHead(status, { 'content-type': 'application/json' }).end(text));
    if (file) return response.setHeader('content-type', 'text/javascript').end(file.code);
    const entry = output.find(({ fileName }) => fileName.startsWith('watch'))?.fileName;
    response
      .setHeader('content-type', 'text/html')
      .end(`<!doctype html><script type="module" src="${entry}"></script>`);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  cleanup.push(() => server.close());
  origin = `http://127.0.0.1:${port}`;
  const browser = await launch();
  cleanup.push(() => browser.close());
  page = await browser.newPage();
});

afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('sees and hears a room, is visible to no participant, and leaves no trace', async () => {
  await livekit.createRoom('studio');
  const ada = await cast.join('studio', 'ada', { name: 'Ada' });
  const camera = await ada.publish('camera');
  const mic = await ada.publish('microphone');
  await watch('watcher');

  const state = await until('both tracks', async () => {
    const now = await seen();
    return now.participants[0]?.tracks.filter((track: any) => track.subscribed).length === 2 && now;
  });
  expect(state).toMatchObject({ identity: 'watcher', error: null, disconnectReason: null });
  expect(state.participants).toHaveLength(1);
  expect(state.participants[0]).toMatchObject({ identity: 'ada', name: 'Ada', kind: 'standard', sid: ada.sid });
  expect(
    state.participants[0].tracks.map((track: any) => [track.sid, track.kind, track.source, track.muted]).sort(),
  ).toEqual(
    [
      [camera, 'video', 'camera', false],
      [mic, 'audio', 'microphone', false],
    ].sort(),
  );

  const frames = () =>
    page.evaluate(() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0);
  const first = await until('the first frame', frames);
  await until('more frames', async () => (await frames()) > first + 3);

  // StrictMode has mounted twice. One hidden participant is in the room, and ada does not see it.
  expect((await livekit.listParticipants('studio')).map((one: any) => one.identity).sort()).toEqual(['ada', 'watcher']);
  expect(await ada.others()).toEqual([]);

  await livekit.mute('studio', 'ada', mic, true);
  await until('the mute', async () =>
    (await seen()).participants[0]?.tracks.some((track: any) => track.sid === mic && track.muted),
  );

  await livekit.twirp(
    'RoomService/SendData',
    { room: 'studio', data: Buffer.from('five minutes left').toString('base64'), kind: 'RELIABLE', topic: 'notice' },
    { roomAdmin: true, room: 'studio' },
  );
  await until('the message', async () => (await seen()).messages.length === 1);
  expect((await seen()).messages[0]).toMatchObject({ from: null, topic: 'notice', text: 'five minutes left' });

  const bob = await cast.join('studio', 'bob');
  await until('bob', async () => (await seen()).participants.length === 2);
  await bob.leave();
  await until('bob to be gone', async () => (await seen()).participants.length === 1);

  // After the unmount it leaves the room at once, and not when LiveKit detects it.
  await page.evaluate(() => (window as any).setName(null));
  await until('the watcher to be out', async () => !(await here('watcher')()));
  expect((await seen()).status).toBe('idle');
});

it('shows the reason after it was removed', async () => {
  await watch('removed');
  await livekit.remove('studio', 'removed');
  await until('the end', async () => (await seen()).status === 'disconnected');
  expect(await seen()).toMatchObject({ disconnectReason: 'PARTICIPANT_REMOVED', participants: [] });

  await watch('last');
  await livekit.deleteRoom('studio');
  await until('the end', async () => (await seen()).status === 'disconnected');
  expect((await seen()).disconnectReason).toBe('ROOM_DELETED');
});

it('reports that it cannot join', async () => {
  await page.goto(`${origin}/?${new URLSearchParams({ url: livekit.wsUrl, token: 'no-token' })}`);
  await until('the refusal', async () => (await seen())?.status === 'failed');
});

it('gets its token from Roomwatch, follows a change of the room name, and leaves the former room', async () => {
  const identities = async (room: string) => (await livekit.listParticipants(room)).map((one) => one.identity).sort();
  const mine = async () => (await seen()).identity as string;
  const live = (person: string) => async () => {
    const { status, participants } = await seen();
    return status === 'connected' && participants[0]?.identity === person;
  };
  const tokens = async () =>
    (await roomwatch.get('/api/audit')).entries.filter((one: any) => one.action === 'room.watch');
  const watchers = async (room: string) =>
    (await roomwatch.get(`/api/rooms/${room}/participants`)).participants.filter((one: any) => one.watcher);

  await cast.join('studio', 'ada');
  await cast.join('annex', 'bob');
  await until('both rooms', async () => (await roomwatch.get('/api/rooms')).rooms.length === 2);
  await until('ada and bob', async () => {
    const rooms = ['studio', 'annex'].map((room) => roomwatch.get(`/api/rooms/${room}/participants`));
    return (await Promise.all(rooms)).every(({ participants }) => participants.length === 1);
  });
  await page.goto(`${origin}/`);
  await until('the page to see ada', live('ada'));
  const first = await mine();
  expect(first).toMatch(/^roomwatch:operator:/);
  // StrictMode has mounted twice, and only one token was requested.
  expect(await identities('studio')).toEqual(['ada', first]);
  expect(await tokens()).toHaveLength(1);
  await until('Roomwatch to list its watcher', async () => (await watchers('studio')).length === 1);

  await page.evaluate(() => (window as any).setName('annex'));
  await until('the page to see bob', live('bob'));
  const second = await mine();
  expect(second).not.toBe(first);
  await until('studio to be left', async () => (await identities('studio')).join() === 'ada');
  expect(await identities('annex')).toEqual(['bob', second]);

  // Change the room twice while it is still joining.
  await page.evaluate(() => (window as any).setName('studio'));
  await until('it to be joining', async () => (await seen()).status === 'connecting');
  await page.evaluate(() => (window as any).setName('annex'));
  await until('the page to see bob', live('bob'));
  await page.evaluate(() => (window as any).setName(null));
  await until(
    'both rooms to be left',
    async () => (await identities('studio')).join() === 'ada' && (await identities('annex')).join() === 'bob',
  );
  await until(
    'Roomwatch to know',
    async () => (await watchers('studio')).length + (await watchers('annex')).length === 0,
  );
  // A cancelled connection does not appear later.
  await pause(2_000);
  expect([await identities('studio'), await identities('annex')]).toEqual([['ada'], ['bob']]);
  expect((await seen()).status).toBe('idle');
});
