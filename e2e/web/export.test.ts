// Issue 17: lists leave the dashboard as files, with the filters of the page, and open safely in a spreadsheet.
import { AccessToken } from 'livekit-server-sdk';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { exported, readCsv } from './exported.js';
import { finished, joined, post, started, startWithoutLiveKit } from './post.js';

const NAMES = ['=cmd|calc!A1', '+4930', '@sum', 'say "hi", all', 'two\nlines', 'a\u202efdp.exe', 'plain'];
const SAFE = ["'=cmd|calc!A1", "'+4930", "'@sum", 'say "hi", all', 'two\nlines', 'a<U+202E>fdp.exe', 'plain'];

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('export');
  browser = await launch();
  for (const name of NAMES) {
    await post(roomwatch, started(name));
    await post(roomwatch, joined(name, `${name} guest`));
    if (name !== 'plain') await post(roomwatch, finished(name));
  }
  await post(roomwatch, {
    event: 'egress_ended',
    egressInfo: { egressId: 'EG_1', roomId: 'RM_plain', roomName: 'plain', status: 'EGRESS_FAILED', error: '=1+1' },
  });
  const token = new AccessToken(API_KEY, API_SECRET, { ttl: '5m' });
  token.addGrant({ roomList: true });
  const headers = { authorization: `Bearer ${await token.toJwt()}` };
  await until('the sessions and the egress', async () => {
    const rows = async (path: string) =>
      (await (await fetch(`${roomwatch.url}${path}?format=json`, { headers })).json()).length;
    return (await rows('/api/sessions')) === NAMES.length && (await rows('/api/egress')) === 1;
  });
}, 120_000);
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

async function open(path: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user: 'victor', reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

it('every session is in the file, and no name is a formula', async () => {
  await open('/sessions');
  const { name, path } = await exported(page, 'CSV, for spreadsheets');
  expect(name).toBe('sessions.csv');
  expect(readCsv(path).map(({ room }) => room)).toEqual([...SAFE].reverse());
  const { text } = await exported(page, 'JSON, for programs');
  expect(JSON.parse(text).map(({ room }: { room: string }) => room)).toEqual([...NAMES].reverse());
});

it('the file has the filters of the page', async () => {
  await open('/sessions?roomContains=l');
  const { path } = await exported(page, 'CSV, for spreadsheets');
  // Of `=cmd|calc`, `say "hi", all`, `two lines` and `plain`.
  expect(readCsv(path).map(({ room }) => room)).toEqual(['plain', 'two\nlines', 'say "hi", all', "'=cmd|calc!A1"]);
  await page.goto(`${roomwatch.url}/sessions/RM_plain`);
  const participants = await exported(page, 'CSV, for spreadsheets');
  expect(participants.name).toBe('participants.csv');
  expect(readCsv(participants.path).map(({ identity }) => identity)).toEqual(['plain guest']);
});

it.each([
  ['/rooms', 'rooms.csv', { name: 'plain', participantCount: '1' }],
  ['/rooms?q=pla', 'rooms.csv', { name: 'plain' }],
  ['/recordings', 'recordings.csv', { egressId: 'EG_1', error: "'=1+1" }],
  ['/events?type=egress_*', 'events.csv', { type: 'egress_ended', room: 'plain' }],
  ['/usage', 'usage.csv', { sip_minutes: '0' }],
])('%s has a file', async (address, file, first) => {
  await open(address);
  await page.getByRole('heading', { level: 1 }).waitFor();
  const { name, path } = await exported(page, 'CSV, for spreadsheets');
  expect(name).toBe(file);
  expect(readCsv(path)).toContainEqual(expect.objectContaining(first));
});

it.each([
  ['light', 1440],
  ['dark', 390],
] as const)('the dialog is clear in %s, %d wide', async (colorScheme, width) => {
  await open('/calls', { colorScheme, viewport: { width, height: 900 } });
  await page.getByRole('button', { name: 'Export', exact: true }).click();
  await page.getByText('From a terminal').click();
  await page.getByRole('dialog').getByText('/api/calls?format=csv').waitFor();
  expect(await axe(page)).toEqual([]);
  await picture(page, `export-${colorScheme}-${width}`);
});

it('rooms that are too many to name are not exported with a filter that only the page knows', async () => {
  await open('/rooms?q=nothing');
  await page.getByRole('heading', { name: 'No matching rooms' }).waitFor();
  await page.getByRole('button', { name: 'Export', exact: true }).hover();
  await page.getByRole('tooltip').getByText('No room matches').waitFor();
});
