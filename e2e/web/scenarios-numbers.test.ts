// Issue 17: the questions about when and how much, and how the dashboard is read by others and under load. Each takes at most
// four clicks. Signed webhooks tell of a week that has passed. `scenarios.test.ts` has what needs a LiveKit.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { Hand, Plays } from '../harness/hand.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { simulate } from '../harness/simulate.js';
import { exported, readCsv } from './exported.js';
import { meeting, startWithoutLiveKit } from './post.js';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** 14:00 UTC of yesterday. */
const CALL = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS + 14 * 60 * MINUTE_MS;

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;
const plays = new Plays();
const play = plays.play.bind(plays);

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('scenarios-numbers');
  browser = await launch();
  // 3 × 60, 2 × 30 and 4 × 15 minutes of participants.
  await meeting(roomwatch, 'consult-7719', CALL, 60, ['weiss', 'jana', 'ida']);
  await meeting(roomwatch, 'standup', CALL - 2 * DAY_MS, 30, ['ann', 'bo']);
  await meeting(roomwatch, 'retro', CALL - 4 * DAY_MS, 15, ['ann', 'bo', 'cleo', 'dan']);
}, 120_000);
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await picture(page, 'scenarios-numbers');
  await page?.context().close();
});
afterAll(async () => {
  plays.print();
  await browser?.close();
  await roomwatch?.close();
});

/** Opens a page, and returns the hand of its user. */
async function sits(path = '/', options: BrowserContextOptions = {}): Promise<Hand> {
  page = await operatorPage(browser, roomwatch, {
    user: 'victor',
    reducedMotion: 'reduce',
    timezoneId: 'UTC',
    ...options,
  });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
  return new Hand(page);
}

const nav = (name: string) => page.getByRole('navigation').first().getByRole('link', { name });

it('7: how many minutes last week, the peak, and the trend', async () => {
  const hand = await sits();
  const answer = await play('7 Minutes of a week', hand, async () => {
    await hand.click(nav('Usage'));
    // A menu of the browser: a click, and one on the choice.
    hand.clicks += 2;
    await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Last 7 days' });
    await page.getByRole('button', { name: /^Sessions 3$/ }).waitFor();
    const minutes = await page.getByRole('button', { name: /^Participant minutes \d/ }).innerText();
    const peak = await page.getByRole('button', { name: /^Peak participants \d/ }).innerText();
    const trend = await page.getByRole('img', { name: /^Participant minutes/ }).getAttribute('aria-label');
    return `${minutes}, ${peak}. ${trend}`;
  });
  expect(answer.replaceAll('\n', ' ')).toMatch(/Participant minutes 300\D/);
  expect(answer.replaceAll('\n', ' ')).toMatch(/Peak participants 4/);
});

it('17: a link shows a colleague in another zone the same moment', async () => {
  const hand = await sits('/');
  let link = '';
  const answer = await play('17 Share a moment', hand, async () => {
    await page.getByRole('link', { name: 'Go back in time' }).focus();
    await hand.press('Enter');
    const question = page.getByRole('textbox', { name: 'Ask about a moment' });
    await question.fill(`Who was in consult-7719 at ${new Date(CALL).toISOString().slice(0, 10)} 14:30?`);
    await hand.press('Enter');
    await page.waitForURL(/rooms\/consult-7719/);
    link = page.url();
    return link.replace(roomwatch.url, '');
  });
  expect(answer).toContain('at=');
  await page.context().close();
  await sits(link.replace(roomwatch.url, ''), { timezoneId: 'Asia/Kathmandu' });
  const banner = page.getByRole('region', { name: 'The past' });
  await banner.getByText(/UTC\+5:45$/).waitFor();
});

it('17: filters and a relative time are in the address', async () => {
  const hand = await sits('/sessions');
  const answer = await play('17 Share a list', hand, async () => {
    await hand.click(page.getByRole('button', { name: 'Connection lost', exact: true }));
    hand.clicks += 2;
    await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Last 7 days' });
    await page.waitForURL(/last=7d/);
    return page.url().replace(roomwatch.url, '');
  });
  expect(answer).not.toMatch(/from=/);
});

it('18: the sessions of the week as a file for a spreadsheet', async () => {
  const hand = await sits();
  const answer = await play('18 Export to CSV', hand, async () => {
    await hand.click(nav('Sessions'));
    // Export, and Save.
    hand.clicks += 2;
    const { name, path } = await exported(page, 'CSV, for spreadsheets');
    const rows = readCsv(path);
    return `${name}: ${rows.map(({ room, participantCount }) => `${room} ${participantCount}`).join(', ')}`;
  });
  expect(answer).toBe('sessions.csv: consult-7719 3, standup 2, retro 4');
});

it('14: at 200 %, without colours and without motion', async () => {
  const hand = await sits('/', { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 });
  const answer = await play('14 200 %, no motion', hand, async () => {
    const found: string[] = [];
    for (const path of ['/', '/rooms', '/sessions', '/sessions/RM_consult-7719', '/usage', '/events', '/settings']) {
      await page.goto(`${roomwatch.url}${path}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      const { width, left, moves } = await page.evaluate(() => {
        // The boxes that stay on the screen while the page scrolls.
        window.scrollTo(0, 200);
        const fixed = [...document.querySelectorAll('body *')].filter((element) =>
          ['fixed', 'sticky'].includes(getComputedStyle(element).position),
        );
        const boxes = fixed
          .map((element) => element.getBoundingClientRect())
          .filter((box) => box.width > 600 && box.height > 20 && box.bottom > 0 && box.top < innerHeight);
        const covered = boxes.reduce((sum, box) => sum + Math.min(box.bottom, innerHeight) - Math.max(box.top, 0), 0);
        return {
          width: document.documentElement.scrollWidth,
          left: 1 - covered / innerHeight,
          // One of a millisecond cannot be seen.
          moves: document
            .getAnimations()
            .filter((one) => one.playState === 'running' && Number(one.effect?.getComputedTiming().endTime) > 10)
            .map((one) => (one as CSSAnimation).animationName ?? (one as CSSTransition).transitionProperty),
        };
      });
      if (width > 720) found.push(`${path} is ${width} pixels wide`);
      if (left < 0.7) found.push(`${path} shows its content on ${Math.round(100 * left)} % of the height`);
      if (moves.length > 0) found.push(`${path} moves: ${moves.join('; ')}`);
      found.push(...(await axe(page)).map((one) => `${path}: ${one}`));
    }
    await picture(page, 'scenario-14');
    return found.join('\n') || 'every page fits';
  });
  expect(answer).toBe('every page fits');
});

it('15: under load, the feed says how much happens', async () => {
  const load = simulate(roomwatch, { rooms: 300, participants: 4, rate: 150, seconds: 60 });
  try {
    const hand = await sits();
    const answer = await play('15 What happens at 150 events/s', hand, async () => {
      const rush = page.getByText(/^\d[\d,]* joins?, \d[\d,]* leaves? and \d[\d,]* other events? in the last 10 s$/);
      await rush.waitFor();
      return rush.innerText();
    });
    expect(hand.clicks).toBe(0);
    expect(answer).toMatch(/^\d+/);
    await picture(page, 'scenario-15');
    const search = page.getByRole('searchbox', { name: /room/i }).or(page.getByRole('textbox', { name: /room/i }));
    await hand.click(nav('Rooms'));
    await search.first().waitFor();
  } finally {
    await load.stop('SIGKILL');
  }
});
