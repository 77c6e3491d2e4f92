// The Calls page: phone calls with number, trunk and outcome, live.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { post, room, startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('calls');
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const call = (event: string, name: string, number: string, more: object, attributes: object) => ({
  event,
  room: room(name),
  participant: {
    sid: `PA_${number}`,
    identity: `sip_${number}`,
    kind: 'SIP',
    state: event === 'participant_left' ? 'DISCONNECTED' : 'ACTIVE',
    joinedAtMs: String(Date.now() - 60_000),
    attributes: {
      'sip.phoneNumber': number,
      'sip.callID': `SCL_${number}`,
      'sip.trunkID': 'ST_1',
      'sip.trunkPhoneNumber': '+4930555',
      ...attributes,
    },
    ...more,
  },
});
const rows = () => page.getByRole('list', { name: 'Calls' }).getByRole('listitem');
const row = (text: string) => rows().filter({ hasText: text });

async function open(path = '/calls', options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user: 'victor', reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

describe('calls', () => {
  it('appear when a phone joins, and show their outcome', async () => {
    await open('/');
    await page.getByRole('link', { name: 'Calls' }).first().click();
    await page.getByText('No calls yet').waitFor();
    expect(await axe(page)).toEqual([]);

    const dialing = { 'sip.callStatus': 'dialing' };
    await post(roomwatch, call('participant_joined', 'callback', '+4915112345', {}, dialing));
    await row('Outbound +4915112345 in callback').getByText('dialing').waitFor();
    await row('Outbound +4915112345 in callback').getByText('trunk +4930555 · ST_1').waitFor();
    const busy = { disconnectReason: 'USER_REJECTED' };
    await post(roomwatch, call('participant_left', 'callback', '+4915112345', busy, { 'sip.callStatus': 'hangup' }));
    await row('+4915112345').getByText('Declined or busy').waitFor();
    await row('+4915112345').getByText('not answered').waitFor();
  });

  it('are found by number, outcome and room', async () => {
    const inbound = { 'sip.callStatus': 'active', 'sip.ruleID': 'SDR_1' };
    await post(roomwatch, call('participant_joined', 'hotline', '+4917099', {}, inbound));
    await post(roomwatch, call('participant_joined', 'hotline', '+4917077', {}, inbound));
    const bye = { disconnectReason: 'CLIENT_INITIATED' };
    await post(roomwatch, call('participant_left', 'hotline', '+4917077', bye, inbound));
    await open();
    await row('Inbound +4917099 in hotline').getByText('Live', { exact: true }).waitFor();
    await row('Inbound +4917077 in hotline').getByText('Hung up').waitFor();
    const chips = page.getByRole('group', { name: 'Outcome' }).getByRole('button');
    expect(await chips.allTextContents()).toEqual(['All trouble1', 'Declined or busy1', 'Live1', 'Hung up1']);
    expect(await axe(page)).toEqual([]);
    await picture(page, 'calls-light');

    await chips.filter({ hasText: 'Hung up' }).click();
    await page.waitForURL(/outcome=hung_up/);
    await page.getByText('1 call shown').waitFor();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('+49 170');
    await page.getByText('2 calls shown').waitFor();
    await page.getByLabel('Room (part of the name)').fill('back');
    await page.getByText('No call matches').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await row('callback').getByRole('link', { name: 'callback' }).click();
    await page.waitForURL(/\/sessions\/RM_callback\?/);
  });

  it('fit a phone, and say why they cannot load', async () => {
    await open('/', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await page.getByRole('button', { name: 'More' }).click();
    await page.getByRole('menuitem', { name: 'Calls' }).click();
    await row('+4917099').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'calls-dark-390');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);

    await page.route('**/api/calls*', (route) =>
      route.fulfill({ status: 400, json: { error: { code: 'too_much', message: 'choose a shorter time' } } }),
    );
    await page.goto(`${roomwatch.url}/calls`);
    await page.getByRole('alert').getByText('choose a shorter time').waitFor();
  });
});
