// The overview begins with what needs attention, and an operator takes note of it.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { type Roomwatch, userToml } from '../harness/roomwatch.js';
import { finished, joined, post, room, startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit(
    'attention',
    `[attention]
agent_missing_secs = 1
[[attention.agents]]
rooms = "voice-*"
${userToml('olga', 'operator')}${userToml('victor', 'viewer')}`,
  );
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const panel = () => page.getByRole('region', { name: /^Needs attention/ });
const row = (text: string) => panel().getByRole('listitem').filter({ hasText: text });

async function open(user: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(roomwatch.url);
  await panel().waitFor();
}

const failedRecording = (name: string) => ({
  event: 'egress_ended',
  egressInfo: {
    egressId: `EG_${name}`,
    roomId: `RM_${name}`,
    roomName: name,
    status: 'EGRESS_FAILED',
    error: 'S3 answered 403 Forbidden',
    roomComposite: { roomName: name },
    updatedAt: `${Date.now()}000000`,
  },
});
const busyCall = (name: string) => ({
  event: 'participant_left',
  room: room(name),
  participant: {
    sid: `PA_${name}_sip`,
    identity: 'sip_+4915112345678',
    state: 'DISCONNECTED',
    kind: 'SIP',
    disconnectReason: 'USER_REJECTED',
    attributes: { 'sip.phoneNumber': '+4915112345678' },
  },
});

describe('the first panel of the overview', () => {
  it('says that nothing needs attention, and then what does, live', async () => {
    await open('olga');
    await panel().getByText('Nothing needs attention.').waitFor();
    expect(await axe(page)).toEqual([]);
    expect(await page.title()).toBe('Overview · Roomwatch');

    await post(roomwatch, joined('voice-7', 'mara'));
    await post(roomwatch, failedRecording('consult-7719'));
    await post(roomwatch, busyCall('callback-12'));
    await row('No agent in voice-7').waitFor();
    await row('Recording failed of consult-7719 · S3 answered 403 Forbidden').waitFor();
    await row('Call failed in callback-12 · declined or busy · +4915112345678').waitFor();
    await page.getByRole('heading', { name: 'Needs attention · 3' }).waitFor();
    await page.waitForFunction(() => document.title === '(3) Overview · Roomwatch');
    expect(await page.locator('link[rel=icon]').getAttribute('href')).toContain('favicon-alert.svg');
    await page.getByRole('link', { name: 'Overview 3 need attention' }).first().waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'attention-light');

    await row('No agent in voice-7').getByRole('link', { name: 'voice-7' }).click();
    await page.waitForURL(/\/rooms\/voice-7\?/);
    // The count is on every page.
    await page.waitForFunction(() => document.title.startsWith('(3) voice-7'));
    await post(roomwatch, finished('voice-7'));
    await page.waitForFunction(() => document.title.startsWith('(2) voice-7'));
  });

  it('lets an operator acknowledge, with a reason', async () => {
    await open('olga');
    await row('Recording failed')
      .getByRole('button', { name: /^Actions/ })
      .click();
    await page.getByRole('menuitem', { name: 'Acknowledge…' }).click();
    const dialog = page.getByRole('dialog');
    expect(await axe(page)).toEqual([]);
    await dialog.getByLabel('Reason').fill('bucket policy, ticket 4711');
    await dialog.getByLabel('Until').selectOption('for 24 hours, also if it comes back');
    await dialog.getByRole('button', { name: 'Acknowledge' }).click();
    await page.getByRole('heading', { name: 'Needs attention · 1' }).waitFor();
    await panel().getByRole('button', { name: 'Show 1 acknowledged' }).click();
    await row('Acknowledged by olga until').filter({ hasText: 'bucket policy, ticket 4711' }).waitFor();
    expect(await axe(page)).toEqual([]);

    await row('Recording failed')
      .getByRole('button', { name: /^Actions/ })
      .click();
    await page.getByRole('menuitem', { name: 'Take acknowledgement back' }).click();
    await page.getByRole('heading', { name: 'Needs attention · 2' }).waitFor();
  });

  it('leads from a condition to the event that shows it', async () => {
    await open('olga');
    await row('Recording failed')
      .getByRole('button', { name: /^Actions/ })
      .click();
    await page.getByRole('menuitem', { name: 'Show event' }).click();
    await page.waitForURL(/\/events\?at=/);
    await page.getByText('consult-7719').filter({ visible: true }).first().waitFor();
  });

  it('tells a viewer which role is needed, and fits a phone', async () => {
    await open('victor', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await row('Call failed')
      .getByRole('button', { name: /^Actions/ })
      .click();
    await page
      .getByRole('menuitem', { name: /Acknowledge/ })
      .getByText('Needs the operator role')
      .waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'attention-dark-390');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
  });
});

describe('the list of rooms', () => {
  it('finds rooms that need attention, marks them, and leads to their conditions', async () => {
    await post(roomwatch, joined('voice-8', 'mara'));
    await post(roomwatch, joined('calm', 'ann'));
    await post(roomwatch, joined('calm', 'bo'));
    await open('olga');
    await row('No agent in voice-8').waitFor();
    const names = () => page.locator('[role=table] [data-sid]').allTextContents();
    await page.goto(`${roomwatch.url}/rooms`);
    await page.getByRole('link', { name: 'calm', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Needs attention' }).click();
    await page.waitForURL((url) => url.searchParams.get('attention') === 'true');
    await page.getByText('voice-8').waitFor();
    expect(await names()).not.toContain('calm');
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Alone' }).click();
    await page.waitForURL((url) => url.searchParams.get('alone') === 'true');
    expect(await names()).toContain('voice-8');
    await page.getByRole('button', { name: 'Long' }).click();
    await page.getByRole('heading', { name: 'No matching rooms' }).waitFor();
    await page.getByRole('button', { name: /^Show all/ }).click();
    await page.getByRole('row').filter({ hasText: 'voice-8' }).getByRole('link', { name: 'No agent' }).click();
    await row('No agent in voice-8').waitFor();
  });
});
