// Issue 5: watching a room from the dashboard as a hidden participant.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { joinInPage, launch, stage } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const ROOM = 'all hands';

let world: World;
let browser: Browser;
let page: Page;
let ada: Page;
let bob: Page;
let found: string[];
const cleanup: (() => unknown)[] = [];

/** A participant with a fake camera and a fake microphone. Its client records every other participant it has ever seen. */
async function participant(url: string, identity: string): Promise<Page> {
  const own = await (await browser.newContext()).newPage();
  await own.goto(url);
  await joinInPage(own, world.livekit.wsUrl, ROOM, identity);
  await own.evaluate(async () => {
    const { room } = window as any;
    (window as any).met = [...room.remoteParticipants.values()].map((one: any) => one.identity);
    room.on('participantConnected', (one: any) => (window as any).met.push(one.identity));
    await room.localParticipant.setCameraEnabled(true);
    // The beeps of Chromium's fake microphone are too short for LiveKit to detect speech, and a later participant only
    // learns of changes of speakers.
    const audio = new AudioContext();
    const [tone, volume, out] = [audio.createOscillator(), audio.createGain(), audio.createMediaStreamDestination()];
    tone.connect(volume).connect(out);
    tone.start();
    setInterval(() => {
      volume.gain.value = 1 - volume.gain.value;
    }, 2_000);
    await room.localParticipant.publishTrack(out.stream.getAudioTracks()[0], { source: 'microphone' });
  });
  return own;
}

/** Returns the participants that a client lists, and those that it has ever listed. */
const others = (own: Page): Promise<{ now: string[]; met: string[] }> =>
  own.evaluate(() => ({
    now: [...(window as any).room.remoteParticipants.values()].map((one: any) => one.identity),
    met: [...new Set((window as any).met as string[])],
  }));

/** Returns the number of video frames that the dashboard's browser has decoded. */
const framesDecoded = (): Promise<number> =>
  page.evaluate(async () => {
    let frames = 0;
    for (const peer of (window as any).peers as RTCPeerConnection[]) {
      for (const report of (await peer.getStats()).values()) {
        if (report.type === 'inbound-rtp' && report.kind === 'video') frames += report.framesDecoded ?? 0;
      }
    }
    return frames;
  });

const tile = (name: string) => page.getByRole('listitem').filter({ has: page.getByLabel(`Camera of ${name}`) });
const people = async () =>
  (await world.roomwatch.get(`/api/rooms/${encodeURIComponent(ROOM)}/participants`)).participants;

beforeAll(async () => {
  world = await World.start('web-watch', {
    yaml: 'room:\n  departure_timeout: 1\n',
    env: { ROOMWATCH_WATCH_REASON: 'true' },
  });
  cleanup.push(() => world.stop());
  browser = await launch();
  cleanup.push(() => browser.close());
  const theirs = await stage();
  cleanup.push(() => theirs.close());
  ada = await participant(theirs.url, 'ada');
  bob = await participant(theirs.url, 'bob');
  await bob.evaluate(() => (window as any).room.localParticipant.setScreenShareEnabled(true));
  page = await operatorPage(browser, world.roomwatch);
  found = complaints(page.context());
  // All media use one of these.
  await page.addInitScript(() => {
    const peers: RTCPeerConnection[] = [];
    Object.assign(window, { peers });
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        peers.push(this);
      }
    };
  });
  await page.goto(`${world.roomwatch.url}/rooms/${encodeURIComponent(ROOM)}`);
  await page.getByRole('button', { name: 'Actions for ada' }).waitFor();
});
afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('explains watching before it joins, and asks for a reason', async () => {
  await page.getByRole('button', { name: 'Watch', exact: true }).click();
  for (const words of [
    'hidden from the participants. You cannot send anything.',
    'does not count you',
    'A hidden participant keeps a room open.',
    'The audit log records who watched',
  ]) {
    await page.getByText(words).waitFor();
  }
  expect(await axe(page)).toEqual([]);
  await page.getByRole('button', { name: 'Start watching' }).click();
  await page.getByText('give a reason for watching this room').waitFor();
  await page.getByRole('button', { name: 'Back' }).click();
  await page.getByLabel('Reason').fill('a complaint about the sound');
  await page.getByRole('button', { name: 'Start watching' }).click();
  await page.getByText('Hidden', { exact: true }).waitFor();
});

it('shows the video of all participants, with the screen share large and the sound off', async () => {
  for (const name of ['ada', 'bob']) {
    await tile(name).waitFor();
    await tile(name)
      .getByText(/^Connection (excellent|good|poor)$/)
      .waitFor({ state: 'attached' });
  }
  const frames = await until('frames', framesDecoded);
  await until('more frames', async () => (await framesDecoded()) > frames + 10);

  const screen = await page.getByLabel('Screen of bob').boundingBox();
  const small = await page.getByLabel('Camera of ada').boundingBox();
  expect(screen?.width).toBeGreaterThan(2 * (small?.width ?? 0));

  const level = tile('ada').locator('span[style]');
  await until('ada to speak, and how loud', async () => {
    const height = await level.evaluate((bar) => Number.parseInt((bar as HTMLElement).style.height, 10));
    return height > 0 && (await tile('ada').getByText('speaking', { exact: true }).count()) === 1;
  });
  await until('ada to be silent', async () => (await tile('ada').getByText('speaking', { exact: true }).count()) === 0);
  expect(await page.locator('audio').count()).toBe(0);
  expect(await page.locator('video').evaluateAll((all) => all.every((one) => (one as HTMLVideoElement).muted))).toBe(
    true,
  );
  await page.getByRole('button', { name: 'Sound off' }).click();
  await page.getByRole('button', { name: 'Sound on', pressed: true }).waitFor();
  await until('both to be heard', async () => {
    const playing = (all: Element[]) => all.filter((one) => !(one as HTMLAudioElement).paused).length;
    return (await page.locator('audio').evaluateAll(playing)) === 2;
  });
  await page.getByRole('button', { name: 'Sound on' }).click();
  await until('silence', async () => (await page.locator('audio').count()) === 0);

  await page.getByText(/^since \d/).waitFor();
  expect(await axe(page)).toEqual([]);
  await picture(page, 'watch');
});

it('shows data messages', async () => {
  await ada.evaluate(() =>
    (window as any).room.localParticipant.publishData(new TextEncoder().encode('can you hear me?'), {
      reliable: true,
      topic: 'chat',
    }),
  );
  const message = page.getByRole('region', { name: 'Data messages' }).getByRole('listitem');
  await message.getByText('can you hear me?').waitFor();
  expect(await message.innerText()).toMatch(/ada[\s\S]*chat/);
});

it('is visible to no participant, marked as a watcher, not counted, and in the audit record', async () => {
  await until('Roomwatch to know its watcher', async () =>
    (await people()).some((one: any) => one.watcher && one.hidden),
  );
  expect(await others(ada)).toEqual({ now: ['bob'], met: ['bob'] });
  expect(await others(bob)).toEqual({ now: ['ada'], met: ['ada'] });
  await page.getByText('hidden (Roomwatch watcher)').first().waitFor();
  const { rooms } = await world.roomwatch.get('/api/rooms');
  expect(rooms[0].participantCount).toBe(2);
  const { entries } = await world.roomwatch.get('/api/audit');
  expect(entries[0]).toMatchObject({
    user: 'operator',
    action: 'room.watch',
    room: ROOM,
    outcome: 'done',
    reason: 'a complaint about the sound',
  });
});

it('lets the room end after all other participants have left, although the page stays open', async () => {
  const reader = await world.roomwatch.read();
  await ada.evaluate(() => (window as any).room.disconnect());
  await tile('ada').waitFor({ state: 'detached' });
  await bob.close();
  await reader.find('the end of the room', (message) => message.type === 'room_finished' && message.room === ROOM);
  await page.getByText('Not live.').waitFor();
  expect(await world.livekit.listRooms()).toEqual([]);
});

it('has no errors', () => {
  // LiveKit's client reports an error if its connection ends because it was removed from the room.
  expect(found.filter((line) => !/^(DataChannel error|publisher data channel)/.test(line))).toEqual([]);
});
