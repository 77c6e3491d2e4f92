// Issue 4, honest states: no stream, no server, too many open pages, an ended session, and missing rights.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage } from '../harness/dashboard.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { finished, joined, post, started } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({
    name: 'connection',
    env: { ROOMWATCH_RECONCILE_SECS: '0', ROOMWATCH_MAX_STREAMS_PER_USER: '1' },
  });
  for (const event of [started('standup'), joined('standup', 'ann')]) await post(roomwatch, event);
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

/** Waits until the pill shows `word`. The error has what it showed instead, and what the page asked last. */
async function pill(word: RegExp): Promise<void> {
  const shown = page.getByRole('button', { name: new RegExp(`^Connection:\\s*${word.source}`) });
  await shown.waitFor().catch(async (error: Error) => {
    const last = await page.getByRole('button', { name: /^Connection:/ }).allInnerTexts();
    throw new Error(`${error.message}\nThe pill: ${last}\nThe last requests:\n${asked.slice(-15).join('\n')}`);
  });
}
/** The requests of the page and their results, for the error of `pill`. */
let asked: string[] = [];
const row = (name: string) => page.getByRole('row').filter({ hasText: name });

async function open(path: string): Promise<void> {
  // Wait until the streams of the previous test are closed, because only one is allowed.
  await until('no stream to be open', async () => (await roomwatch.get('/api/me')).streams.open === 0);
  page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
  page.setDefaultTimeout(30_000);
  asked = [];
  const note = (text: string) => asked.push(`${new Date().toISOString()} ${text}`);
  page.on('response', (response) => note(`${response.status()} ${response.url()}`));
  page.on('requestfailed', (request) => note(`${request.failure()?.errorText} ${request.url()}`));
  const known = page.waitForResponse(/\/api\/me$/);
  await page.goto(`${roomwatch.url}${path}`);
  await pill(/Live/);
  // The stream may be open before the first answer has arrived.
  await (await known).finished();
}

const isStream = (accept: string | undefined) => accept?.includes('text/event-stream') ?? false;
/** A proxy between page and server that blocks streams. */
async function withoutStreams(): Promise<void> {
  await page.route('**/api/events*', (route) =>
    isStream(route.request().headers().accept) ? route.abort() : route.continue(),
  );
  // The route does not affect the open stream, only the next one.
  await roomwatch.stop();
  await roomwatch.up();
}

describe('without a stream, but with a server', () => {
  it('the page polls, says so, and is live again after the stream is back', async () => {
    await open('/rooms');
    await row('standup').waitFor();
    const polled = page.waitForResponse(/\/api\/rooms$/, { timeout: 60_000 });
    await withoutStreams();
    await pill(/Polling/);
    expect(await axe(page)).toEqual([]);

    // The first poll is within two seconds, and a return to the page would share it. The next one is a minute later.
    await (await polled).finished();
    await post(roomwatch, started('polled'));
    // A return to the page does not wait for the minute.
    await page.evaluate(() => window.dispatchEvent(new Event('visibilitychange')));
    await row('polled').waitFor();

    await page.getByRole('button', { name: /^Connection:/ }).click();
    await page.getByRole('dialog', { name: 'Connection' }).getByText('The event stream is down').waitFor();
    expect(await axe(page)).toEqual([]);
    const asked = page.waitForRequest((request) => isStream(request.headers().accept), { timeout: 2_000 });
    await page.getByRole('button', { name: 'Try again' }).click();
    await asked;
    // A table under the pointer does not move.
    await page.mouse.move(0, 0);
    await page.unrouteAll();
    await pill(/Live/);
    await post(roomwatch, finished('polled'));
    await row('polled').waitFor({ state: 'detached' });
  });
});

describe('without a server', () => {
  // Start the server again even if the test fails, for the next test.
  afterEach(async () => {
    if (!roomwatch.running) await roomwatch.up();
  });

  it.each([
    // The list of rooms has loaded when their number is shown. The feed may name a room before that.
    ['/', 'All 1', 'Last known'],
    ['/rooms', 'standup', 'standup'],
    ['/rooms/standup', 'ann', 'ann'],
    ['/events', 'Pause', 'The stream is down'],
    ['/sessions', 'standup', 'standup'],
    ['/settings', 'default', 'default'],
  ])('%s keeps what was known, with the hour, and catches up by itself', async (path, known, kept) => {
    const shown = async (name: string) => {
      const found = page.getByText(name).or(page.getByRole('table', { name })).or(page.getByRole('region', { name }));
      await found
        .first()
        .waitFor()
        .catch(async (error: Error) => {
          const text = await page.locator('body').innerText();
          throw new Error(`${error.message}\nThe page:\n${text}\nThe last requests:\n${asked.slice(-15).join('\n')}`);
        });
    };
    await open(path);
    // Data that was never loaded cannot be shown.
    await shown(known);
    await pill(/Live/);
    await roomwatch.kill();
    await pill(/Stale since \d\d:\d\d/);
    await page.getByText('Can’t reach Roomwatch.').waitFor();
    await shown(kept);
    // The state of LiveKit is unknown now, too.
    if (path === '/' || path === '/settings')
      await page
        .getByText(/^Last known: /)
        .first()
        .waitFor();
    expect(await axe(page)).toEqual([]);
    await roomwatch.up();
    await pill(/Live/);
    await page.getByText('Can’t reach Roomwatch.').waitFor({ state: 'detached' });
  });

  it('another page opens inside the frame, also one whose file was never loaded', async () => {
    await open('/rooms');
    await page.waitForLoadState('networkidle').catch(() => {});
    const file = (name: string) =>
      page.evaluate((part) => performance.getEntriesByType('resource').some((one) => one.name.includes(part)), name);
    // Every page is loaded while the browser is idle.
    for (const name of ['overview', 'room-', 'sessions', 'session-', 'events', 'settings', 'palette'])
      await until(`the file of ${name}`, () => file(`/assets/${name}`));
    await roomwatch.kill();
    await page.getByRole('link', { name: 'Sessions' }).first().click();
    await page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
    await page.getByRole('link', { name: 'Rooms', exact: true }).first().click();
    await row('standup').waitFor();
    await pill(/Stale since/);
  });

  it('a part whose file cannot be loaded leaves the rest of the page as it is, and comes later', async () => {
    let blocked = true;
    page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
    page.setDefaultTimeout(30_000);
    await page.route('**/assets/session-timeline-*', (route) => (blocked ? route.abort() : route.continue()));
    await until('no stream to be open', async () => (await roomwatch.get('/api/me')).streams.open === 0);
    const refused = () => page.waitForEvent('requestfailed', (request) => request.url().includes('session-timeline'));
    const first = refused();
    await page.goto(`${roomwatch.url}/rooms/standup`);
    await pill(/Live/);
    await first;
    // It is tried again, so the first failure has been drawn.
    await refused();
    await page.getByText('ann').first().waitFor();
    await page.getByRole('heading', { name: 'standup', level: 1 }).waitFor();
    blocked = false;
    await page.getByRole('slider').first().waitFor();
  });

  it('a page whose file cannot be loaded says so in the frame, and opens when the server is back', async () => {
    let blocked = true;
    page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
    page.setDefaultTimeout(30_000);
    await page.route('**/assets/settings-*', (route) => (blocked ? route.abort() : route.continue()));
    await until('no stream to be open', async () => (await roomwatch.get('/api/me')).streams.open === 0);
    await page.goto(`${roomwatch.url}/rooms`);
    await row('standup').waitFor();
    await pill(/Live/);
    await page.getByRole('link', { name: 'Settings' }).first().click();
    await page.getByRole('heading', { name: 'Cannot load this page' }).waitFor();
    await page.getByRole('button', { name: /^Connection:/ }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('link', { name: 'Rooms', exact: true }).first().click();
    await row('standup').waitFor();
    await page.getByRole('link', { name: 'Settings' }).first().click();
    await page.getByRole('heading', { name: 'Cannot load this page' }).waitFor();
    await roomwatch.kill();
    await pill(/Stale since/);
    blocked = false;
    await roomwatch.up();
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
  });

  it('a page that was never loaded says so, and loads when the server is back', async () => {
    await open('/');
    await roomwatch.kill();
    // The files come from the browser's cache, or fail. Requests to the server fail in any case.
    await page.route('**/api/**', (route) => route.abort());
    await roomwatch.up();
    await page.reload();
    await page.getByText('Can’t reach Roomwatch').first().waitFor();
    expect(await axe(page)).toEqual([]);
    await page.unrouteAll();
    await page.getByRole('region', { name: /Live now|Last known/ }).waitFor();
  });
});

describe('refused', () => {
  it('one page too many shows the number of open pages, and opens after one has closed', async () => {
    await open('/');
    const first = page;
    page = await operatorPage(browser, roomwatch);
    await page.goto(roomwatch.url);
    await pill(/Too many connections/);
    await page.getByRole('button', { name: /^Connection:/ }).click();
    await page.getByText('1 connection open, the limit is 1.').waitFor();
    expect(await axe(page)).toEqual([]);
    await first.context().close();
    await until('the place to be free', async () => (await roomwatch.get('/api/me')).streams.open === 0);
    await page.getByRole('dialog', { name: 'Connection' }).getByRole('button', { name: 'Try again' }).click();
    await pill(/Live/);
  });

  it('an ended session is reported, and the sign-in leads back to the same page', async () => {
    await open('/rooms?sort=name');
    await page.context().request.post(`${roomwatch.url}/api/logout`, { headers: { origin: roomwatch.url } });
    await pill(/Signed out/);
    expect(await axe(page)).toEqual([]);
    await page.getByRole('region', { name: 'Connection' }).getByRole('link', { name: 'Sign in' }).click();
    await page.getByText('Your login has expired').waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.waitForURL(`${roomwatch.url}/rooms?sort=name`);
    await row('standup').waitFor();
    await pill(/Live/);
  });
});

describe('the chart of the overview', () => {
  it('draws unknown minutes as unknown, and not as zero', async () => {
    const { points } = await roomwatch.get('/api/activity');
    // The log has just begun: the numbers of the hour before are unknown, which is not zero.
    expect(points[0]).toMatchObject({ rooms: null, participants: null, joins: 0, leaves: 0 });
    expect(points.at(-1)).toMatchObject({ rooms: expect.any(Number), participants: expect.any(Number) });
    await open('/');
    await page.getByRole('button', { name: 'Show as table' }).click();
    const table = page.getByRole('region', { name: 'Joins and leaves, minute by minute' });
    const cells = (at: 'first' | 'last') => table.locator('tbody tr')[at]().locator('td').allInnerTexts();
    expect((await cells('first')).slice(0, 2)).toEqual([
      String(points.at(-1).rooms),
      String(points.at(-1).participants),
    ]);
    expect((await cells('last')).map((text) => /\d/.test(text))).toEqual([false, false, true, true]);
    expect(await axe(page)).toEqual([]);
  });
});
