// Issues 4 and 5: the dashboard in Debian's Chromium against the built server and a real LiveKit server.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Cast } from '../harness/cast.js';
import { axe, complaints, operatorPage, picture, signIn } from '../harness/dashboard.js';
import { PASSWORD } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

let world: World;
let cast: Cast;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  world = await World.start('web', { env: { ROOMWATCH_MAX_STREAMS_PER_USER: '50' } });
  cast = await world.cast();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});
afterEach(async ({ task }) => {
  if (page && !page.isClosed()) {
    if (task.result?.state === 'fail') await picture(page, task.name.replace(/\W+/g, '-')).catch(() => undefined);
    await page.context().close();
  }
});

const url = (path: string) => `${world.roomwatch.url}${path}`;
const pill = () => page.getByRole('button', { name: /^Connection:/ });
const live = () => page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();

async function open(path: string): Promise<string[]> {
  page = await operatorPage(browser, world.roomwatch);
  const found = complaints(page.context());
  await page.goto(url(path));
  await live();
  return found;
}

describe('signing in', () => {
  it('shows the form, reports a wrong password, and then opens the requested page', async () => {
    const context = await browser.newContext();
    page = await context.newPage();
    await page.goto(url('/rooms'));
    await page.getByLabel('Password', { exact: true }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').first().waitFor();
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/rooms/);
    await live();
  });

  it('ends with a sign-out: the page says so and shows nothing more', async () => {
    const context = await browser.newContext();
    page = await context.newPage();
    await signIn(page, world.roomwatch);
    await live();
    const answer = await context.request.post(url('/api/logout'), { headers: { origin: world.roomwatch.url } });
    expect(answer.status()).toBe(200);
    await page
      .getByRole('button', { name: /^Connection:\s*Signed out/ })
      .or(page.getByLabel('Password', { exact: true }))
      .first()
      .waitFor();
  });
});

describe('the live pages', () => {
  it('show a room, its participants and their tracks without a reload', async () => {
    const found = await open('/rooms');
    await page.evaluate(() => {
      (window as any).neverReloaded = true;
    });
    const alice = await cast.join('appears', 'alice', { name: 'Alice' });
    const row = page.getByRole('row').filter({ hasText: 'appears' });
    await row.waitFor();
    await row.getByRole('link').click();
    await page.getByRole('button', { name: /Alice/ }).first().waitFor();
    await cast.join('appears', 'bob', { name: 'Bob' });
    await page.getByRole('button', { name: /Bob/ }).first().waitFor();
    await alice.publish('microphone');
    await page.getByText('Microphone').first().waitFor({ state: 'attached' });
    expect(await page.evaluate(() => (window as any).neverReloaded)).toBe(true);
    expect(found).toEqual([]);
  });

  it('catch up after the server was killed, without a gap', async () => {
    const { roomwatch } = world;
    await cast.join('catches', 'first');
    await open('/events');
    await page.getByText('first').first().waitFor();
    await roomwatch.kill();
    await until('the page to say that the server is away', async () => !/Live/.test(await pill().innerText()));
    const joins = ['while-away-1', 'while-away-2', 'while-away-3'];
    await Promise.all(joins.map((identity) => cast.join('catches', identity)));
    await roomwatch.up();
    await live();
    for (const identity of joins) await page.getByText(identity).first().waitFor();
  });

  it('recover after a short restart, without asking for a reload', async () => {
    await open('/rooms');
    await world.roomwatch.stop();
    await world.roomwatch.up();
    await live();
    await cast.join('after-restart', 'dora');
    await page.getByRole('row').filter({ hasText: 'after-restart' }).waitFor();
  });
});

describe('actions', () => {
  it('mute, edit, send data, remove and end, and the event settles each', async () => {
    const { roomwatch } = world;
    const events = await roomwatch.read('?room=acted-on');
    const eve = await cast.join('acted-on', 'eve', { name: 'Eve' });
    await eve.publish('microphone');
    await events.find('her microphone', (m) => m.type === 'track_published');
    const found = await open('/rooms/acted-on');
    // A closing dialog restores the focus, which closes a menu that was opened meanwhile. Then open the menu again.
    const menu = async (item: RegExp, name = 'Eve') => {
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      await until(`the menu item ${item}`, async () => {
        const entry = page.getByRole('menuitem', { name: item });
        if (!(await entry.isVisible()))
          await page.getByRole('button', { name: `Actions for ${name}`, exact: true }).click({ timeout: 2_000 });
        await entry.click({ timeout: 2_000 });
        return true;
      });
    };
    await menu(/^Mute Microphone/i);
    await events.find('track_muted', (m) => m.type === 'track_muted');
    await menu(/^Unmute Microphone/i);
    await events.find('track_unmuted', (m) => m.type === 'track_unmuted');

    await menu(/^Send data/);
    await page.getByLabel('Text').fill('hello from the page');
    await page.getByRole('button', { name: 'Send', exact: true }).click();
    await until('the data', async () => (await eve.data()).includes('hello from the page'));

    await menu(/^Edit/);
    await page.getByLabel('Name').fill('Evelyn');
    await page.getByRole('button', { name: 'Save' }).click();
    await menu(/^Remove/, 'Evelyn');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await events.find('her leave', (m) => m.type === 'participant_left');
    await until(
      'her row to go',
      async () => (await page.getByRole('button', { name: 'Actions for Evelyn' }).count()) === 0,
    );

    await page.getByRole('button', { name: 'End room' }).click();
    await page.getByRole('dialog').getByRole('button', { name: /^End/ }).click();
    await events.find('the end', (m) => m.type === 'room_finished');
    expect(found).toEqual([]);
    events.close();
  });
});

describe('creating a room', () => {
  it('sets the requested options in LiveKit, and opens the room', async () => {
    const found = await open('/rooms');
    await page.getByRole('button', { name: 'Create room' }).click();
    const dialog = page.getByRole('dialog', { name: 'Create a room' });
    await dialog.getByLabel('Name').fill('prepared');
    await dialog.getByLabel('Empty timeout (s)').fill('120');
    await dialog.getByLabel('Max participants').fill('3');
    await dialog.getByLabel('Metadata').fill('{"tenant":"acme"}');
    expect(await axe(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByRole('heading', { name: 'prepared', level: 1 }).waitFor();
    await page.getByText('No participants').waitFor();
    await page.getByText('"tenant": "acme"').waitFor();
    const made = await until('LiveKit to have it', async () =>
      (await world.livekit.listRooms()).find((room) => room.name === 'prepared'),
    );
    expect(made).toMatchObject({ empty_timeout: 120, max_participants: 3, metadata: '{"tenant":"acme"}' });
    await world.livekit.deleteRoom('prepared');
    await page.getByText('Not live.').waitFor();
    expect(found).toEqual([]);
  });
});

describe('watching a room', () => {
  it('shows a published camera, is visible to no participant, and lets the room end', async () => {
    const events = await world.roomwatch.read('?room=watched');
    await world.livekit.createRoom('watched', { departure_timeout: 1, empty_timeout: 30 });
    const fay = await cast.join('watched', 'fay', { name: 'Fay' });
    await fay.publish('camera');
    await events.find('her camera', (m) => m.type === 'track_published');
    const found = await open('/rooms/watched?view=watch');
    await page.getByRole('button', { name: 'Start watching' }).click();
    await page.getByText('Hidden', { exact: true }).waitFor();
    await page.locator('video').first().waitFor();
    const frames = () =>
      page.evaluate(() => document.querySelector('video')?.getVideoPlaybackQuality().totalVideoFrames ?? 0);
    const first = await until('a decoded frame', frames);
    await until('more of them', async () => (await frames()) > first);
    await events.find(
      'the watcher',
      (m) => m.type === 'participant_joined' && m.data.participant.identity.startsWith('roomwatch:'),
    );
    // Fay's client does not list the watcher, and the room does not count it.
    expect(await fay.others()).toEqual([]);
    expect((await world.roomwatch.get('/api/rooms/watched')).room.participantCount).toBe(1);
    const me = (await world.roomwatch.get('/api/rooms/watched/participants')).participants.find((one: any) =>
      one.identity.startsWith('roomwatch:'),
    );
    expect(me).toMatchObject({ hidden: true, watcher: true });
    expect(await axe(page)).toEqual([]);
    // The participants leave and the page stays open. The room still ends.
    await fay.leave();
    await events.find('the end of the room', (m) => m.type === 'room_finished', 60_000);
    expect(found).toEqual([]);
    events.close();
  });
});

describe('axe finds nothing', () => {
  it.each(['light', 'dark'] as const)(
    'on any page, %s',
    async (colorScheme) => {
      const gus = await cast.join('looked-at', 'gus', { name: 'Gus', attributes: { role: 'host' } });
      await gus.publish('microphone');
      const { sessions } = await world.roomwatch.get('/api/sessions?limit=1');
      const paths = [
        '/',
        '/rooms',
        '/rooms/looked-at',
        '/rooms/not-there',
        '/sessions',
        `/sessions/${sessions[0].sid}`,
        '/events',
        '/settings',
        '/nowhere',
      ];
      page = await operatorPage(browser, world.roomwatch, { colorScheme });
      for (const viewport of [
        { width: 1440, height: 900 },
        { width: 360, height: 780 },
      ]) {
        await page.setViewportSize(viewport);
        for (const path of paths) {
          await page.goto(url(path));
          await page.getByRole('heading').first().waitFor();
          await page.waitForLoadState('load');
          expect([path, viewport.width, await axe(page)]).toEqual([path, viewport.width, []]);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          expect([path, viewport.width, overflow <= 0]).toEqual([path, viewport.width, true]);
        }
      }
      await gus.leave();
    },
    240_000,
  );
});
