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
let stageUrl: string;
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
  stageUrl = theirs.url;
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
  // `pass` lets time pass for timers of a minute only: with Playwright's clock, LiveKit's client would miss its pings.
  await page.addInitScript(() => {
    const [set, clear, now] = [window.setTimeout, window.clearTimeout, Date.now];
    const long = new Map<number, { due: number; run: () => void }>();
    let ahead = 0;
    let last = 0;
    const pass = (ms: number) => {
      ahead += ms;
      for (const [id, { due, run }] of long) {
        if (due > Date.now()) continue;
        long.delete(id);
        run();
      }
    };
    Date.now = () => now() + ahead;
    Object.assign(window, {
      pass,
      setTimeout: (run: () => void, ms: number, ...rest: unknown[]) => {
        if (ms !== 60_000) return set(run, ms, ...rest);
        long.set(--last, { due: Date.now() + ms, run: () => run(...(rest as [])) });
        return last;
      },
      clearTimeout: (id: number) => long.delete(id) || clear(id),
    });
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
    'A hidden participant keeps a room open. Watching ends when the last other participant leaves',
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

  const screen = await page.getByLabel('Screen of bob', { exact: true }).boundingBox();
  const small = await page.getByLabel('Camera of ada', { exact: true }).boundingBox();
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

it('enlarges a picture on a click, and fills the screen with it', async () => {
  const width = async (label: string) => (await page.getByLabel(label, { exact: true }).boundingBox())?.width ?? 0;
  await page.getByRole('button', { name: 'Enlarge ada', exact: true }).click();
  await page.getByRole('button', { name: 'Make ada small' }).waitFor();
  expect(await width('Camera of ada')).toBeGreaterThan(2 * (await width('Screen of bob')));
  await picture(page, 'watch-enlarged');

  await page.getByRole('button', { name: 'Full screen: ada' }).click();
  await page.getByRole('button', { name: 'Leave full screen' }).waitFor();
  expect(await page.evaluate(() => document.fullscreenElement?.querySelector('video')?.ariaLabel)).toBe(
    'Camera of ada',
  );
  expect(await page.getByRole('button', { name: 'Moderate ada' }).count()).toBe(0);
  await page.getByRole('button', { name: 'Leave full screen' }).click();
  await page.getByRole('button', { name: 'Full screen: ada' }).waitFor();

  await page.getByRole('button', { name: 'Make ada small' }).click();
  await page.getByRole('button', { name: 'Enlarge ada', exact: true }).waitFor();
  expect(Math.abs((await width('Camera of ada')) - (await width('Screen of bob')))).toBeLessThan(2);
  await page.getByRole('button', { name: 'Enlarge the screen of bob' }).click();
  await page.getByRole('button', { name: 'Make the screen of bob small' }).waitFor();
});

it('mutes and removes the participant of a picture, with the same questions as the list', async () => {
  const eve = await participant(stageUrl, 'eve');
  await page.getByRole('button', { name: 'Moderate eve' }).click();
  await page.getByRole('menuitem', { name: 'Mute microphone' }).click();
  await page.getByText("eve's microphone is muted").waitFor();
  await until('eve to be muted', () =>
    eve.evaluate(() => !(window as any).room.localParticipant.isMicrophoneEnabled as boolean),
  );
  await tile('eve').getByText('microphone muted').waitFor({ state: 'attached' });

  await page.getByRole('button', { name: 'Moderate eve' }).click();
  await page.getByRole('menuitem', { name: 'Remove', exact: true }).click();
  await page.getByRole('dialog', { name: 'Remove eve?' }).getByRole('button', { name: 'Cancel' }).click();
  expect(await eve.evaluate(() => (window as any).room.state)).toBe('connected');
  await page.getByRole('button', { name: 'Moderate eve' }).click();
  await page.getByRole('menuitem', { name: 'Remove', exact: true }).click();
  await page.getByRole('dialog', { name: 'Remove eve?' }).getByRole('button', { name: 'Remove' }).click();
  await tile('eve').waitFor({ state: 'detached' });
  await until('eve to be out', () => eve.evaluate(() => (window as any).room.state === 'disconnected'));
  await eve.close();
  // Her row fades for a moment. It would stay under the mouse.
  await page.mouse.move(0, 0);
  await page.getByText('Left', { exact: true }).first().waitFor({ state: 'detached' });
});

it('shows the live transcription: guessed words are replaced, with the name of the speaker', async () => {
  const heard = page.getByRole('region', { name: 'Live transcription' });
  expect(await heard.count()).toBe(0);
  // As an agent does: each guess is a stream, and all streams of a segment have its id. Bob's words come from ada here.
  const say = (segment: string, text: string, final: boolean) =>
    ada.evaluate(
      async ([id, words, done]) => {
        const { room } = window as any;
        const [bob] = [...room.remoteParticipants.values()].filter((one: any) => one.identity === 'bob');
        const [track] = [...bob.trackPublications.values()].filter((one: any) => one.source === 'microphone');
        await room.localParticipant.sendText(words, {
          topic: 'lk.transcription',
          attributes: {
            'lk.segment_id': id,
            'lk.transcription_final': done,
            'lk.transcribed_track_id': track.trackSid,
          },
        });
      },
      [segment, text, String(final)] as const,
    );
  await say('SG_1', 'can you', false);
  await heard.getByRole('listitem').filter({ hasText: 'can you' }).waitFor();
  await say('SG_1', 'can you hear us?', true);
  await say('SG_2', 'yes', false);
  await heard.getByText('yes').waitFor();
  const lines = heard.getByRole('listitem');
  expect(await lines.count()).toBe(2);
  expect(await lines.nth(0).innerText()).toMatch(/^bob[\s\S]*can you hear us\?$/);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'watch-transcription');
});

it('is visible to no participant, marked as a watcher, not counted, and in the audit record', async () => {
  await until('Roomwatch to know its watcher', async () =>
    (await people()).some((one: any) => one.watcher && one.hidden),
  );
  expect(await others(ada)).toEqual({ now: ['bob'], met: ['bob', 'eve'] });
  expect(await others(bob)).toEqual({ now: ['ada'], met: ['ada', 'eve'] });
  await page.getByText('hidden (Roomwatch watcher)').first().waitFor();
  const { rooms } = await world.roomwatch.get('/api/rooms');
  expect(rooms[0].participantCount).toBe(2);
  const { entries } = await world.roomwatch.get('/api/audit?action=room.watch');
  expect(entries[0]).toMatchObject({
    user: 'operator',
    action: 'room.watch',
    room: ROOM,
    outcome: 'done',
    reason: 'a complaint about the sound',
  });
});

it('ends when the tab has been hidden for a minute, says why, and offers to watch again in one line', async () => {
  const pass = (ms: number) => page.evaluate((by) => (window as any).pass(by), ms);
  const show = (visible: boolean) =>
    page.evaluate(
      (state) => {
        Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      },
      visible ? 'visible' : 'hidden',
    );
  const inside = page.getByText('Hidden', { exact: true });
  await show(false);
  await pass(50_000);
  await show(true);
  await pass(20_000);
  await show(false);
  await pass(50_000);
  expect(await inside.count()).toBe(1);
  await pass(10_000);
  await show(true);
  await page.getByText('Watching ended: this tab was hidden for a minute').waitFor();
  expect(await page.locator('video').count()).toBe(0);
  await picture(page, 'watch-hidden');
  await until('the watcher to leave', async () => !(await people()).some((one: any) => one.watcher));

  await page.getByRole('button', { name: 'Watch again' }).click();
  await tile('ada').waitFor();
  const watched = async () => (await world.roomwatch.get('/api/audit?action=room.watch')).entries.length;
  expect(await watched()).toBe(2);

  await page.getByRole('button', { name: 'Leave' }).click();
  await page.getByRole('button', { name: 'Watch', exact: true }).click();
  await page.getByText('You join hidden, and the audit log records it.').waitFor();
  // The row of the watcher fades for a moment. It would stay under the mouse.
  await page.mouse.move(0, 0);
  await page.getByText('Left', { exact: true }).first().waitFor({ state: 'detached' });
  expect(await page.getByText('does not count you').count()).toBe(0);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'watch-consent');
  await page.getByRole('button', { name: 'All consequences' }).click();
  await page.getByText('does not count you').waitFor();
  await page.getByLabel('Reason').fill('again');
  await page.getByRole('button', { name: 'Start watching' }).click();
  await tile('ada').waitFor();
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
