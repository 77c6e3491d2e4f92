// Issue 4: sign-in, Sessions, Events, Settings and the command palette, in a real browser against the real server.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Child } from '../harness/child.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { until } from '../harness/wait.js';

let roomwatch: Roomwatch;
let load: Child;
let browser: Browser;
let context: BrowserContext | undefined;
beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({ name: 'back-pages', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  load = simulate(roomwatch, { rooms: 3, participants: 4, rate: 20, seconds: 600 });
  await until('people to be there', async () =>
    (await roomwatch.get('/api/rooms')).rooms.some((room: any) => room.participantCount > 1),
  );
  await load.stop('SIGTERM');
  browser = await launch();
});
afterEach(async () => {
  await context?.close();
  context = undefined;
});
afterAll(async () => {
  await browser?.close();
  await load?.stop('SIGKILL');
  await roomwatch?.close();
});

/** Opens a page of a signed-in operator, without motion, because an endless animation never settles. Any error of the browser fails the test. */
async function open(path: string): Promise<{ page: Page; found: string[] }> {
  const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
  context = page.context();
  // A failing step reports itself before the test times out.
  page.setDefaultTimeout(30_000);
  const found = complaints(context);
  await page.goto(`${roomwatch.url}${path}`);
  return { page, found };
}

const testEvent = () => roomwatch.request('POST', '/api/projects/default/test-webhook');

describe('sign-in', () => {
  it('shows the error, and then leads to the requested page', async () => {
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${roomwatch.url}/events?type=room_*`);
    await page.getByLabel('Password', { exact: true }).fill('not it');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('Wrong user name or password').waitFor();
    expect(await axe(page)).toEqual([]);

    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Events', level: 1 }).waitFor();
    expect(new URL(page.url()).searchParams.get('type')).toBe('room_*');

    await page.goto(`${roomwatch.url}/settings`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Roomwatch' }).waitFor();
    expect((await context.request.get(`${roomwatch.url}/api/me`)).status()).toBe(401);
  });

  it('does not follow a link to another site', async () => {
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${roomwatch.url}/sign-in?to=${encodeURIComponent('//example.com/')}`);
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    expect(page.url()).toBe(`${roomwatch.url}/`);
  });
});

describe('events', () => {
  it('can be followed, paused with a count, resumed, filtered by the address, and opened', async () => {
    const { page, found } = await open('/events?type=roomwatch_test');
    await page.getByRole('status').getByText('Live', { exact: true }).waitFor();
    await testEvent();
    const rows = page.getByRole('listitem');
    await rows.filter({ hasText: 'roomwatch_test' }).first().waitFor();
    const before = await rows.count();

    await page.getByRole('button', { name: 'Pause' }).click();
    for (let i = 0; i < 3; i++) await testEvent();
    await page.getByRole('button', { name: '3 new' }).waitFor();
    expect(await rows.count()).toBe(before);
    await page.getByRole('button', { name: '3 new' }).click();
    await until('the rows that waited', async () => (await rows.count()) === before + 3);

    await rows.first().getByRole('button').first().click();
    await page.getByText('"roomwatch_test"').first().waitFor();
    await page.getByText('Paused').waitFor();
    expect(await axe(page)).toEqual([]);
    // An opened event takes space, and gives it back.
    const gap = () =>
      page.evaluate(() => {
        const [first, second] = [...document.querySelectorAll('[data-cursor]')].map((row) =>
          row.getBoundingClientRect(),
        );
        return first && second ? [Math.round(second.top - first.bottom), Math.round(first.height)] : [];
      });
    await until('the rows to stand below each other', async () => (await gap())[0] === 0);
    expect((await gap())[1]).toBeGreaterThan(200);
    await rows.first().getByRole('button').first().click();
    await until('the row to be closed', async () => (await gap()).join() === '0,32');
    expect(found).toEqual([]);
  });

  it('that happen while the stream opens are not missing', async () => {
    const { page } = await open('/');
    let opened = () => {};
    const held = new Promise<void>((resolve) => {
      opened = resolve;
    });
    await page.route(/\/api\/events/, async (route) => {
      if (route.request().resourceType() === 'eventsource') await held;
      await route.continue();
    });
    await page.goto(`${roomwatch.url}/events`);
    const rows = page.getByRole('listitem');
    await rows.first().waitFor();
    await testEvent();
    opened();
    await page.getByRole('status').getByText('Live', { exact: true }).waitFor();
    await testEvent();
    const newest = (await roomwatch.log()).slice(-5).map(({ cursor }) => cursor.split('-')[1]);
    await until('the newest five', async () => {
      const shown = (await rows.allTextContents()).slice(0, 5).map((text) => /\d+$/.exec(text)?.[0]);
      return shown.reverse().join() === newest.join();
    });
  });

  it('never overlap while new ones arrive, also without motion', async () => {
    const { page } = await open('/events?type=roomwatch_test');
    await page.getByRole('status').getByText('Live', { exact: true }).waitFor();
    await testEvent();
    await page.getByRole('listitem').first().waitFor();
    await page.evaluate(() => {
      const seen = { frames: 0, bad: [] as string[] };
      Object.assign(window, { seen });
      const look = () => {
        seen.frames++;
        const tops = [...document.querySelectorAll('[data-cursor]')].map((row) => row.getBoundingClientRect().top);
        if (new Set(tops).size < tops.length) seen.bad.push(tops.join());
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    for (let i = 0; i < 5; i++) {
      const before = await page.getByRole('listitem').count();
      await testEvent();
      await until('one more row', async () => (await page.getByRole('listitem').count()) > before);
    }
    const { frames, bad } = await page.evaluate(
      () => (window as unknown as { seen: { frames: number; bad: string[] } }).seen,
    );
    expect(frames).toBeGreaterThan(5);
    expect(bad).toEqual([]);
  });

  it('can be found by a cursor, and the address can be shared', async () => {
    const { page } = await open('/events');
    await page.getByRole('button', { name: 'Jump to time' }).click();
    await page.getByLabel('Cursor').fill('2');
    await page.keyboard.press('Enter');
    await page.getByText('Paused at #2').waitFor();
    expect(new URL(page.url()).searchParams.get('at')).toMatch(/^[0-9a-f]{8}-2$/);
    const [first, second] = await roomwatch.log();
    await page.getByText(`"${second?.cursor}"`).waitFor();
    await page.getByText('Oldest event in the log').waitFor();
    expect(await page.getByRole('listitem').last().textContent()).toContain(first?.type);
  });

  it('of another log, and after the head, are explained', async () => {
    const { page } = await open('/events?at=00000000-1');
    await page.getByRole('heading', { name: 'This link is from another database' }).waitFor();
    await page.getByRole('button', { name: 'Show the newest events' }).click();
    await page.getByRole('status').getByText('Live', { exact: true }).waitFor();
  });

  it('are exported as JSON lines: the whole log, each event once', async () => {
    const { page } = await open('/events');
    await page.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('combobox', { name: 'Export' }).selectOption({ label: 'All events' });
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save' }).click(),
    ]);
    const lines = readFileSync(await download.path(), 'utf8')
      .trimEnd()
      .split('\n');
    const log = await roomwatch.log();
    expect(lines.map((line) => JSON.parse(line).cursor)).toEqual(log.map(({ cursor }) => cursor));
  });
});

describe('sessions', () => {
  it('are found by an identity, and have a timeline that links to events', async () => {
    const { sessions } = await until('sessions', async () => {
      const answer = await roomwatch.get('/api/sessions');
      return answer.sessions.some((one: any) => one.participantCount > 1) ? answer : null;
    });
    const { sid, room } = sessions.find((one: any) => one.participantCount > 1);
    const { participations } = await roomwatch.get(`/api/sessions/${sid}`);
    const { identity, name } = participations[0];

    const { page, found } = await open(`/sessions?identity=${encodeURIComponent(identity)}`);
    expect(await axe(page)).toEqual([]);
    await page.getByRole('link', { name: room, exact: true }).first().click();
    await page.getByRole('heading', { name: room, level: 1 }).waitFor();
    await page
      .getByRole('region', { name: 'Timeline' })
      .getByText(name || identity, { exact: true })
      .first()
      .waitFor();
    expect(await axe(page)).toEqual([]);

    await page.getByRole('button', { name: 'Table' }).click();
    await page.getByRole('table', { name: 'Participants' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Timeline' }).click();

    await page.getByRole('slider', { name: 'Moment' }).focus();
    await page.keyboard.press('End');
    await page.getByRole('link', { name: /^Events at \d/ }).click();
    await page.getByText(/^Paused at #\d+$/).waitFor();
    expect(new URL(page.url()).searchParams.get('room')).toBe(room);
    expect(found).toEqual([]);
  });

  it('are searched by room and by time, and the address has both', async () => {
    const { room } = (await roomwatch.get('/api/sessions')).sessions[0];
    const { page } = await open('/sessions');
    const rows = page.getByRole('table', { name: 'Sessions' }).getByRole('link');
    await until('all three', async () => (await rows.count()) === 3);
    await page.getByLabel('Room (part of the name)').fill(room);
    await until('the one', async () => (await rows.allTextContents()).join() === room);
    await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Last hour' });
    await page.waitForURL((url) => url.search.includes('last=') && url.searchParams.get('roomContains') === room);
    await until('the one still', async () => (await rows.allTextContents()).join() === room);
    await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Between…' });
    await page.getByLabel('From', { exact: true }).fill('2020-01-01T00:00');
    await page.keyboard.press('Enter');
    await page.getByLabel('To', { exact: true }).fill('2020-01-02T00:00');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'No session matches' }).waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await until('all three again', async () => (await rows.count()) === 3);
  });

  it('that are unknown are an answer, not an error', async () => {
    const { page } = await open('/sessions/RM_nothere');
    await page.getByRole('heading', { name: 'Session not found' }).waitFor();
  });
});

describe('settings', () => {
  it('have the lines for livekit.yaml, and a test event that appears in the events', async () => {
    const { page, found } = await open('/settings');
    await page.getByText('Set up the webhook').click();
    await page.locator('code', { hasText: `- "${roomwatch.webhookUrl}"` }).waitFor();
    await page.getByRole('button', { name: 'Send a test event' }).click();
    await page.getByRole('link', { name: 'View it in the event log' }).click();
    await page.getByText(/^Paused at #\d+$/).waitFor();
    await page.goBack();
    await page.getByRole('button', { name: 'Send a test event' }).waitFor();
    expect(await axe(page)).toEqual([]);
    expect(found).toEqual([]);
  });

  it('show why a webhook was rejected, and what to do', async () => {
    await fetch(roomwatch.webhookUrl, { method: 'POST', body: '{"event":"room_started"}' });
    const { page } = await open('/settings');
    await page.getByText('No token. LiveKit always sends one').waitFor();
    await page.getByText('let it pass the Authorization header on').waitFor();
  });
});

describe('every page', () => {
  it.each(['/', '/rooms', '/rooms/ended', '/sessions', '/sessions/RM_nothere', '/events', '/settings'])(
    'marks one link of the navigation as the current page: %s',
    async (path) => {
      const { page } = await open(path);
      await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
      const marked = page.locator(':is(nav, main) [aria-current=page]:visible');
      if (path.includes('nothere')) await page.getByRole('heading', { name: 'Session not found' }).waitFor();
      await until('one mark', async () => (await marked.count()) === 1);
      expect(await axe(page)).toEqual([]);
    },
  );

  it('that does not exist says so inside the frame', async () => {
    const { page, found } = await open('/nonsense');
    await page.getByRole('heading', { name: 'Page not found', level: 1 }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('navigation', { name: 'Pages' }).first().getByRole('link', { name: 'Rooms' }).click();
    await page.getByRole('heading', { name: 'Rooms', level: 1 }).waitFor();
    expect(found).toEqual([]);
  });
});

describe('the palette', () => {
  it('gets what is typed before its field is there, and the page below gets none of it', async () => {
    const slow = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
    context = slow.context();
    let letGo = () => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    await slow.route('**/assets/palette-*', async (route) => {
      await held;
      await route.continue();
    });
    await slow.goto(`${roomwatch.url}/`);
    await slow.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
    await slow.keyboard.press('Control+k');
    // "g r" is a shortcut of the page.
    await slow.keyboard.type('gracx', { delay: 30 });
    await slow.keyboard.press('Backspace');
    await slow.keyboard.type('e', { delay: 30 });
    letGo();
    await until('the palette to have it', async () => (await slow.getByRole('combobox').inputValue()) === 'grace');
    await slow.keyboard.type(' h');
    expect(await slow.getByRole('combobox').inputValue()).toBe('grace h');
    expect(new URL(slow.url()).pathname).toBe('/');
  });

  it('keeps every letter and their order while it opens', async () => {
    const letters = 'thequickbrownfoxjumpsoverthelazydog';
    for (const millis of [10, 30, 50, 70, 90]) {
      const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
      context = page.context();
      await page.route('**/assets/palette-*', async (route) => {
        await sleep(millis);
        await route.continue();
      });
      await page.goto(`${roomwatch.url}/`);
      await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
      await page.keyboard.press('Control+k');
      await page.keyboard.type(letters);
      await until('the last letter', async () => (await page.getByRole('combobox').inputValue()).endsWith('dog'));
      expect(await page.getByRole('combobox').inputValue(), `${millis} ms`).toBe(letters);
      await context.close();
    }
  });

  it('opens pages and rooms, and asks before it ends a room', async () => {
    const { page, found } = await open('/');
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.keyboard.press('Control+k');
    const field = page.getByRole('combobox');
    await field.fill('settings');
    await page.getByRole('option', { name: 'Settings' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();

    const { name } = (await roomwatch.get('/api/rooms')).rooms[0];
    await page.keyboard.press('Control+k');
    await field.fill(`end ${name}`);
    await page
      .getByRole('option', { name: `End ${name}` })
      .first()
      .waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: `End ${name}?` }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('heading', { name: `End ${name}?` }).waitFor({ state: 'detached' });
    expect((await roomwatch.get('/api/rooms')).rooms.some((room: any) => room.name === name)).toBe(true);
    expect(found).toEqual([]);
  });
});
