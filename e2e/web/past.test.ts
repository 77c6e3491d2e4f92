// The past: the scrubber on the overview, the rooms and a room; the question; what was learned later; bad moments.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { pause, until } from '../harness/wait.js';
import { finished, joined, post, room, started } from './post.js';

/** Time between two moments of the story, so that each has its own millisecond. */
const APART_MS = 40;
/** Maximum time from a key to the picture of the step. */
const STEP_MS_MAX = 100;

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

/** Cursors of the story: after each of its moments. */
const after: Record<string, string> = {};
/** Unix milliseconds of the same moments. */
const time: Record<string, number> = {};

const left = (name: string, identity: string) => ({ ...joined(name, identity), event: 'participant_left' });

async function say(name: string, ...events: object[]) {
  for (const event of events) await post(roomwatch, event);
  const { cursor } = await roomwatch.get('/api/rooms');
  after[name] = cursor;
  time[name] = Date.now();
  await pause(APART_MS);
}

beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({
    name: 'past',
    env: { ROOMWATCH_RECONCILE_SECS: '0' },
    config: `${userToml('vera', 'viewer')}${userToml('otto', 'operator')}
[[projects]]
name = "default"
url = "http://127.0.0.1:1"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
`,
  });
  await roomwatch.login({ user: 'otto' });
  await say('start', started('standup'), joined('standup', 'ada'));
  await say('both', joined('standup', 'bob'), started('retro'), joined('retro', 'carol'));
  await say('track', {
    event: 'track_published',
    room: room('standup'),
    participant: { sid: 'PA_standup_bob', identity: 'bob' },
    track: { sid: 'TR_bob', type: 'AUDIO', source: 'MICROPHONE' },
  });
  await say('alone', left('standup', 'ada'));
  await say('over', finished('retro'));
  await say('later', joined('standup', 'dora'));
  browser = await launch();
});
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await picture(page, 'past');
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

async function open(path: string, options: BrowserContextOptions & { user?: string } = {}): Promise<string[]> {
  page = await operatorPage(browser, roomwatch, {
    user: 'otto',
    reducedMotion: 'reduce',
    timezoneId: 'UTC',
    ...options,
  });
  page.setDefaultTimeout(30_000);
  const found = complaints(page.context());
  await page.goto(`${roomwatch.url}${path}`);
  return found;
}

const banner = () => page.getByRole('region', { name: 'The past' });
const people = async () => {
  const list = page.getByRole('heading', { name: /^Participants/ }).locator('xpath=ancestor::section');
  const names = await list.locator('li button[aria-expanded]:not([aria-haspopup])').allInnerTexts();
  return names
    .map((name) => name.split('\n')[0]?.trim())
    .sort()
    .join(' ');
};
const total = async (label: string) => {
  const text = await page
    .getByRole('region', { name: 'Live then' })
    .getByRole('link', { name: new RegExp(`^${label}`) })
    .innerText();
  return text.split('\n')[1];
};
const shows = (what: string, probe: () => Promise<string | undefined>, expected: string) =>
  until(what, async () => {
    const found = await probe();
    if (found !== expected) throw new Error(`${found}`);
    return true;
  });
const clock = (at: number | undefined) => new Date(at ?? 0).toISOString().slice(11, 19);

it('from the overview, any moment shows rooms and people as they were, and Live returns', async () => {
  const found = await open('/');
  await page.getByRole('link', { name: 'Go back in time' }).click();
  await banner()
    .getByText(/^As it was on \d+ \w+ \d\d:\d\d:\d\d UTC$/)
    .waitFor();
  await shows('the newest moment', () => total('People'), '2');

  await page.goto(`${roomwatch.url}/?at=${after.both}`);
  await shows('three people', () => total('People'), '3');
  expect(await total('Rooms')).toBe('2');
  // The list of events ends at the moment.
  const events = page.getByRole('list', { name: 'Known then' }).getByRole('listitem');
  expect(await events.first().innerText()).toContain('carol joined retro');
  await shows('the events until then', async () => String(await events.count()), '5');
  expect(await axe(page)).toEqual([]);

  // A room of the list opens at the same moment, and its page has the tracks.
  await page.getByRole('button', { name: 'Next event' }).click();
  await page
    .getByRole('link', { name: /^standup/ })
    .first()
    .click();
  await page.waitForURL((url) => url.pathname === '/rooms/standup' && url.searchParams.has('at'));
  await shows('both people', people, 'ada bob');
  await page
    .getByRole('button', { name: /^bob/ })
    .getByText('microphone')
    .or(page.getByTitle('microphone'))
    .first()
    .waitFor();
  expect(await axe(page)).toEqual([]);

  await banner().getByRole('button', { name: 'Live' }).click();
  await shows('the present people', people, 'bob dora');
  expect(await banner().count()).toBe(0);
  expect(new URL(page.url()).search).toBe('?project=default');
  expect(found).toEqual([]);
});

it('steps go event by event, in both directions, and ten seconds lead out of the story', async () => {
  await open(`/rooms?at=${after.both}`);
  const rows = async () =>
    (await page.getByRole('table', { name: 'Live rooms' }).getByRole('link').allInnerTexts()).sort().join(' ');
  await shows('both rooms', rows, 'retro standup');
  for (let n = 0; n < 3; n++) await page.keyboard.press('.');
  await shows('one room', rows, 'standup');
  await page.keyboard.press(',');
  await shows('both rooms again', rows, 'retro standup');
  // The address has the event, so that the link means the same to every reader.
  const at = await until('the address', () => {
    const value = new URL(page.url()).searchParams.get('at');
    return value === after.alone && value;
  });
  expect(at).toBe(after.alone);
  // The first step before the room.
  for (let n = 0; n < 5; n++) await page.keyboard.press(',');
  await shows('one room only', rows, 'standup');
  await page.keyboard.press(']');
  await until('now', async () => (await banner().innerText()).includes('As it was'));
});

it('in the past every action is disabled, for a viewer and an operator', async () => {
  for (const user of ['otto', 'vera']) {
    await open(`/rooms/standup?project=default&at=${after.both}`, { user });
    await shows('both people', people, 'ada bob');
    for (const name of ['Watch', 'Send data', 'End room']) {
      const button = page.getByRole('button', { name, exact: true });
      expect(await button.getAttribute('aria-disabled'), `${user} ${name}`).toBe('true');
    }
    await page.getByRole('button', { name: 'End room', exact: true }).hover();
    await page.getByText('This is the past. Go back to live to act.').first().waitFor();
    await page.getByRole('button', { name: 'Actions for bob' }).click();
    const remove = page.getByRole('menuitem', { name: /^Remove/ });
    expect(await remove.getAttribute('aria-disabled')).toBe('true');
    await page.keyboard.press('Escape');
    await banner().getByRole('button', { name: 'Live' }).click();
    await shows('the present people', people, 'bob dora');
    const disabled = await page.getByRole('button', { name: 'End room', exact: true }).getAttribute('aria-disabled');
    expect(disabled, user).toBe(user === 'otto' ? null : 'true');
    await page.context().close();
  }
});

it('the question is answered from the overview: a room and a time in plain writing', async () => {
  await open(`/?at=${after.later}`);
  const ask = page.getByRole('textbox', { name: 'Ask about a moment' });
  await ask.fill(`Who was in standup at ${clock(time.both)}.999?`);
  await page.keyboard.press('Enter');
  await page.waitForURL((url) => url.pathname === '/rooms/standup');
  await banner().getByText(clock(time.both)).waitFor();

  await ask.fill(after.track ?? '');
  await page.keyboard.press('Enter');
  await shows('both people', people, 'ada bob');
  await ask.fill('lunch');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').getByText('Write a time like 14:03').waitFor();
  await ask.fill('1 min ago');
  await page.keyboard.press('Enter');
  await page
    .getByText('Not live at this moment.')
    .or(page.getByText('Nothing is kept from that long ago'))
    .first()
    .waitFor();
});

it('a moment of the timeline of a session opens the room as it was then', async () => {
  await open(`/sessions/RM_standup?project=default&t=${time.both}`);
  await page.getByRole('link', { name: /^Room at / }).click();
  await banner().getByText(clock(time.both)).waitFor();
  await shows('both people', people, 'ada bob');
});

it('times are those of the zone of the browser, also of 45 minutes, or UTC for the whole dashboard', async () => {
  await open(`/?at=${after.both}`, { timezoneId: 'Asia/Kathmandu' });
  await banner()
    .getByText(/UTC\+5:45$/)
    .waitFor();
  const local = new Date((time.both ?? 0) + 345 * 60_000).toISOString().slice(11, 16);
  await banner().getByText(` ${local}`).waitFor();
  await page
    .getByRole('button', { name: /^Account and appearance/ })
    .first()
    .click();
  await page.getByRole('menuitemradio', { name: 'UTC' }).click();
  await banner()
    .getByText(` ${clock(time.both).slice(0, 5)}`)
    .waitFor();
  await banner().getByText(/ UTC$/).waitFor();
  // It is remembered, and the time of a question is read in it.
  await page.reload();
  await banner().getByText(/ UTC$/).waitFor();
  await page.goto(`${roomwatch.url}/sessions`);
  const title = page.getByRole('table', { name: 'Sessions' }).locator('time').first();
  await until('UTC in the list', async () => / UTC$/.test((await title.getAttribute('title')) ?? ''));
});

it('the hours at the end of summer time have their offset', async () => {
  await open('/?at=1', { timezoneId: 'Europe/Berlin' });
  const ask = page.getByRole('textbox', { name: 'Ask about a moment' });
  for (const [asked, shown] of [
    ['2026-10-25 02:30', '25 Oct 02:30:00 UTC+2'],
    ['2026-10-25 02:30 UTC+1', '25 Oct 02:30:00 UTC+1'],
    ['2026-03-29 02:30', '29 Mar 03:30:00 UTC+2'],
  ] as const) {
    await ask.fill(asked);
    await page.keyboard.press('Enter');
    await banner().getByText(`As it was on ${shown}`).waitFor();
    await page.getByRole('heading', { name: 'Nothing is kept from that long ago' }).waitFor();
  }
});

it('a link has the moment and the range; a relative range stays relative, and a zoom keeps the moment in its place', async () => {
  await open(`/?at=${after.both}&range=24h`);
  await shows('three people', () => total('People'), '3');
  const slider = page.getByRole('slider', { name: 'Moment' });
  expect(await page.getByRole('combobox', { name: 'Range' }).inputValue()).toBe('24h');
  await page.keyboard.press('.');
  await page.waitForURL((url) => url.searchParams.get('at') === after.track);
  expect(new URL(page.url()).searchParams.get('range')).toBe('24h');

  const place = () =>
    slider.evaluate(
      (one: HTMLInputElement) => (Number(one.value) - Number(one.min)) / (Number(one.max) - Number(one.min)),
    );
  const before = await place();
  for (let n = 0; n < 4; n++) await page.getByRole('button', { name: 'Zoom in' }).click();
  expect(await place()).toBeCloseTo(before, 1);
  await page.waitForURL((url) => /^\d+-\d+$/.test(url.searchParams.get('range') ?? ''));
  const [from, to] = (new URL(page.url()).searchParams.get('range') ?? '').split('-').map(Number);
  expect(((to ?? 0) - (from ?? 0)) / 5_400_000).toBeCloseTo(1, 2);

  const address = page.url();
  const other = await page.context().newPage();
  await other.goto(address);
  await other.getByRole('slider', { name: 'Moment' }).waitFor();
  const range = await other
    .getByRole('slider', { name: 'Moment' })
    .evaluate((one: HTMLInputElement) => [one.min, one.max]);
  expect(range.map(Number)).toEqual([from, to]);
});

it('moments that are not there are said in words, with a way back', async () => {
  await open('/rooms');
  const epoch = (after.both ?? '').split('-')[0];
  for (const [at, title] of [
    [String(Date.now() + 3_600_000), 'That moment has not come yet'],
    ['5', 'Nothing is kept from that long ago'],
    ['00000001-5', 'This link is from another database'],
    [`${epoch}-999999`, 'This event does not exist yet'],
    ['lunch', 'This is not a moment'],
    ['-5', 'This is not a moment'],
    ['1.5', 'This is not a moment'],
  ] as const) {
    for (const path of ['/', '/rooms', '/rooms/standup']) {
      await page.goto(`${roomwatch.url}${path}?at=${at}`);
      await page.getByRole('heading', { name: title }).waitFor();
      // Nothing of the present is in the frame.
      expect(await page.getByRole('main').getByText('dora').count(), `${path} ${at}`).toBe(0);
    }
  }
  expect(await axe(page)).toEqual([]);
  await banner().getByRole('button', { name: 'Live' }).click();
  await shows('the present people', people, 'bob dora');
});

it('it plays with speed, skips silence, and stops at the newest event', async () => {
  await open(`/?at=${after.start}`);
  await shows('one person', () => total('People'), '1');
  await page.getByRole('combobox', { name: 'Speed' }).selectOption('8');
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await shows('the end', () => total('People'), '2');
  await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  await page
    .getByRole('button', { name: 'Next event: This is the newest event' })
    .or(page.getByRole('button', { name: 'Next event' }))
    .first()
    .waitFor();
});

it('what was learned later is told from what was known then', async () => {
  // A webhook that is an hour late: Erin was in the room since then.
  const now = Date.now();
  const late = joined('standup', 'erin');
  late.participant.joinedAtMs = String((time.start ?? 0) - 20_000);
  await say('late', { ...late, createdAt: String(Math.floor(((time.start ?? 0) - 20_000) / 1_000)) });

  await open(`/rooms/standup?project=default&at=${after.both}`);
  await shows('what was known', people, 'ada bob');
  const corrected = page.getByRole('region', { name: 'Corrected later' });
  const text = await corrected.innerText();
  expect(text).toMatch(
    new RegExp(
      `erin was there \\(joined ${clock((time.start ?? 0) - 20_000)}, learned ${clock(now).slice(0, 5)}:\\d\\d\\)`,
    ),
  );
  const learned = page.getByRole('region', { name: 'Learned later' });
  expect(await learned.innerText()).toMatch(/erin joined · learned \d\d:\d\d:\d\d, happened \d\d:\d\d:\d\d/);
  expect(await axe(page)).toEqual([]);
  // In the list of a later moment the event is where it was received, with both times.
  await page.goto(`${roomwatch.url}/rooms/standup?project=default&at=${after.late}`);
  await shows('what is known', people, 'bob dora erin');
  const newest = page.getByRole('list', { name: 'Known then' }).getByRole('listitem').first();
  expect(await newest.innerText()).toMatch(/erin joined · learned \d\d:\d\d:\d\d, happened \d\d:\d\d:\d\d/);
});

it('the overview shows what needed attention at the moment', async () => {
  const before = Date.now();
  await pause(APART_MS);
  await post(roomwatch, {
    event: 'egress_ended',
    egressInfo: {
      egressId: 'EG_past',
      roomId: 'RM_standup',
      roomName: 'standup',
      status: 'EGRESS_FAILED',
      error: 'S3 answered 403 Forbidden',
      roomComposite: { roomName: 'standup' },
      updatedAt: `${Date.now()}000000`,
    },
  });
  await until('the condition', async () => {
    const { conditions } = await roomwatch.get('/api/attention');
    return conditions.some(({ kind }: { kind: string }) => kind === 'egress_failed');
  });
  const failed = Date.now();
  await open(`/?at=${failed}`);
  const needed = page.getByRole('region', { name: 'Needed attention' }).getByRole('listitem');
  await needed.filter({ hasText: 'Recording failed of standup · S3 answered 403 Forbidden' }).waitFor();
  // The past cannot be acted on, and its links stay in it.
  expect(await needed.getByRole('button').count()).toBe(0);
  expect(await needed.getByRole('link', { name: 'standup' }).getAttribute('href')).toContain(`at=${failed}`);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'past-attention');
  await page.context().close();
  await open(`/?at=${before}`);
  await page.getByRole('region', { name: 'Needed attention' }).getByText('Nothing needed attention.').waitFor();
});

it('a step draws within 100 ms, among 300 people in 30 rooms', async () => {
  for (let n = 0; n < 30; n++) {
    await post(roomwatch, started(`room-${n}`));
    await Promise.all(Array.from({ length: 10 }, (_, i) => post(roomwatch, joined(`room-${n}`, `person-${i}`))));
  }
  const { cursor } = await roomwatch.get('/api/rooms');
  const [epoch, seq] = cursor.split('-');
  for (const path of ['/', '/rooms']) {
    await open(`${path}?at=${epoch}-${Number(seq) - 150}`);
    await page
      .getByRole('link', { name: /^room-/ })
      .first()
      .waitFor();
    await page.waitForLoadState('networkidle');
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    // From the key to the frame that has the new moment, as the browser draws it.
    const millis: number[] = await page.evaluate(async () => {
      const shown = document.querySelector('section[aria-label="The past"]');
      const list = () => document.querySelector('main')?.innerText ?? '';
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const all: number[] = [];
      for (let n = 0; n < 60; n++) {
        const before = list();
        const at = performance.now();
        document.body.dispatchEvent(new KeyboardEvent('keydown', { key: n % 20 < 10 ? ',' : '.', bubbles: true }));
        while (list() === before) {
          await frame();
          if (performance.now() - at > 5_000) throw new Error(`nothing changed: ${shown?.textContent}`);
        }
        await frame();
        all.push(performance.now() - at);
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      return all.sort((a, b) => a - b);
    });
    const [median, p95, max] = [millis[30] ?? 0, millis[56] ?? 0, millis[59] ?? 0].map(Math.round);
    console.info(`a step on ${path}: median ${median} ms, 95 % ${p95} ms, at most ${max} ms`);
    // A loaded machine delays some steps, but none waits for the server.
    expect(median, path).toBeLessThan(STEP_MS_MAX);
    expect(
      asked.filter((url) => url.includes('/api/rooms')),
      path,
    ).toEqual([]);
    await page.context().close();
  }
});

it('it fits a phone', async () => {
  for (const path of ['/', '/rooms', '/rooms/standup']) {
    await open(`${path}?at=${after.both}`, { viewport: { width: 390, height: 800 } });
    await banner().getByText('As it was on').waitFor();
    // The timeline of a room has a slider too.
    await page.getByRole('region', { name: 'Scrubber' }).getByRole('slider', { name: 'Moment' }).waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
    expect(await axe(page), path).toEqual([]);
    await page.context().close();
  }
});
