// The Audit page: an admin sees which user gave which command. Other users do not.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { exported } from './exported.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

/** Gives a command as a user. Nothing listens at LiveKit's URL, so it fails, or is refused. */
async function command(user: string, path: string): Promise<number> {
  const mine = await operatorPage(browser, roomwatch, { user });
  const answer = await mine.context().request.delete(`${roomwatch.url}${path}`, { headers: { origin: roomwatch.url } });
  await mine.context().close();
  return answer.status();
}

beforeAll(async () => {
  roomwatch = await Roomwatch.start({
    name: 'audit',
    env: { ROOMWATCH_RECONCILE_SECS: '0' },
    config: `[[projects]]
name = "production"
url = "http://127.0.0.1:1"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
${userToml('ada', 'admin')}${userToml('olga', 'operator')}${userToml('victor', 'viewer')}`,
  });
  browser = await launch();
  expect(await command('olga', '/api/rooms/standup')).toBe(502);
  expect(await command('victor', '/api/rooms/standup/participants/mara')).toBe(403);
  expect(await command('olga', '/api/rooms/%3Dcmd%7C!A1')).toBe(502);
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

async function open(user: string, path = '/audit', options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}
const entries = () => page.getByRole('main').getByRole('listitem');

describe('the audit record', () => {
  it('says who did what, filters, and exports what is shown', async () => {
    await open('ada', '/');
    await page.getByRole('link', { name: 'Audit' }).first().click();
    await entries().filter({ hasText: 'olga ended the room standup' }).filter({ hasText: 'failed' }).waitFor();
    await entries().filter({ hasText: 'victor removed mara in standup' }).filter({ hasText: 'refused' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'audit-light');

    await page.getByLabel('Outcome').selectOption('refused');
    await page.waitForURL(/outcome=refused/);
    await page.getByText('1 entry shown').waitFor();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.getByLabel('User (exact)').fill('olga');
    await page.getByText('2 entries shown').waitFor();

    const { text } = await exported(page, 'CSV, for spreadsheets');
    const lines = text.split('\r\n');
    expect(lines[0]).toBe('at,user,action,project,room,target,outcome,code,reason');
    // A spreadsheet must not run the name of a room.
    expect(lines[1]).toMatch(/,olga,room\.end,production,'=cmd\|!A1,,failed,livekit_unreachable,$/);
    expect(lines).toHaveLength(4);
  });

  it('is for admins: others see why, and no link', async () => {
    await open('olga');
    await page.getByText('Needs the admin role.').first().waitFor();
    expect(await page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
    expect(await axe(page)).toEqual([]);
  });

  it('is reached from Settings on a phone', async () => {
    await open('ada', '/settings', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await page.getByRole('link', { name: 'Audit record' }).click();
    await entries().filter({ hasText: 'olga ended the room standup' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'audit-dark-390');
  });
});
