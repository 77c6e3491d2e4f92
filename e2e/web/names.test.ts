// One person has one name in every list of events, also where the page has not seen the join.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { complaints, operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { joined, post, room, started } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

const published = (name: string, identity: string, track: string) => ({
  event: 'track_published',
  room: room(name),
  participant: { sid: `PA_${name}_${identity}`, identity },
  track: { sid: track, type: 'AUDIO', source: 'MICROPHONE' },
});
const came = (name: string, identity: string, called: string) => {
  const event = joined(name, identity);
  return { ...event, participant: { ...event.participant, name: called } };
};

beforeAll(async () => {
  roomwatch = await Roomwatch.start({ name: 'names', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  for (const one of [
    started('standup'),
    came('standup', 'noor-1', 'Noor'),
    published('standup', 'noor-1', 'TR_1'),
    came('standup', 'bot-7', ''),
    published('standup', 'bot-7', 'TR_2'),
  ])
    await post(roomwatch, one);
  browser = await launch();
  page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const row = (text: string) => page.locator('[data-cursor]', { hasText: text });

it('in a filtered list, of those who were there before and of those who come later', async () => {
  const found = complaints(page.context());
  await page.goto(`${roomwatch.url}/events?type=track_*`);
  await row('Noor').waitFor();
  expect(await row('bot-7').count()).toBe(1);
  expect(await row('noor-1').count()).toBe(0);
  await post(roomwatch, came('standup', 'elif-2', 'Elif'));
  await post(roomwatch, published('standup', 'elif-2', 'TR_3'));
  await row('Elif').waitFor();
  expect(await row('elif-2').count()).toBe(0);
  expect(found).toEqual([]);
});
