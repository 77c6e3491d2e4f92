// Issue 4: a room with a phone call and an agent, in a real browser with the real server. The page does not move while the
// operator uses it.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { joined, post, started } from './post.js';

const ROOM = 'support';
const CALLER = {
  identity: 'sip_+49301234567',
  name: 'Phone +49301234567',
  kind: 'SIP',
  attributes: {
    'sip.phoneNumber': '+49301234567',
    'sip.trunkPhoneNumber': '+49305550100',
    'sip.trunkID': 'ST_trunk',
    'sip.callID': 'SCL_call',
    'sip.callStatus': 'ringing',
  },
};

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;
let found: string[];

/** A participant of the room, with more fields than the identity. */
const came = (identity: string, more: object = {}) => {
  const event = joined(ROOM, identity);
  return { ...event, participant: { ...event.participant, ...more } };
};
const left = (identity: string, name: string) => ({
  ...came(identity, { name, state: 'DISCONNECTED', disconnectReason: 'CLIENT_INITIATED' }),
  event: 'participant_left',
});
const published = (identity: string) => ({
  event: 'track_published',
  room: { sid: `RM_${ROOM}`, name: ROOM },
  participant: { sid: `PA_${ROOM}_${identity}`, identity },
  track: { sid: `TR_${identity}`, source: 'MICROPHONE', mimeType: 'audio/opus' },
});
const panel = (name: string) =>
  page.locator('section').filter({ has: page.getByRole('heading', { name, exact: true, level: 2 }) });
const row = (name: string) =>
  page.getByRole('listitem').filter({ has: page.getByRole('button', { name: `Actions for ${name}` }) });

beforeAll(async () => {
  // No LiveKit has this room, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({ name: 'call', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  await post(roomwatch, started(ROOM));
  await post(roomwatch, came('ada', { name: 'Ada Lovelace' }));
  await post(roomwatch, came(CALLER.identity, CALLER));
  await post(roomwatch, came('agent-AJ_1', { name: 'Assistant', kind: 'AGENT' }));
  browser = await launch();
  page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce' });
  found = complaints(page.context());
  await page.goto(`${roomwatch.url}/rooms/${ROOM}`);
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

it('shows numbers, trunk and status of the call, and missing values as unknown', async () => {
  const facts = () => panel('Calls').locator('li').innerText();
  await until('the call', async () => (await panel('Calls').count()) === 1);
  expect((await facts()).split('\n').filter(Boolean)).toEqual([
    '+49301234567',
    'ringing',
    'Our number',
    '+49305550100',
    'Trunk',
    'ST_trunk',
    'Call',
    'SCL_call',
  ]);
  const { attributes } = CALLER;
  await post(
    roomwatch,
    came(CALLER.identity, {
      ...CALLER,
      attributes: { ...attributes, 'sip.callStatus': 'active', 'sip.trunkID': '' },
    }),
  );
  await until('the call to be answered', async () => /active/.test(await facts()));
  expect(await facts()).toMatch(/Trunk\s+–/);
  expect(await axe(page)).toEqual([]);
});

it('distinguishes an agent from participants, in the list and in the count', async () => {
  await row('Assistant').getByText('Agent', { exact: true }).waitFor();
  await page.getByText('2 people', { exact: true }).waitFor();
  await page.getByText('1 agent', { exact: true }).waitFor();
});

it('shows the name of a participant also in the events of their tracks', async () => {
  await post(roomwatch, published('ada'));
  await page.getByText('Ada Lovelace published microphone track').waitFor();
  expect(await page.getByText(/^ada published/).count()).toBe(0);
});

it('shows the timeline of the session below the participants', async () => {
  await post(roomwatch, came('bob', { name: 'Bob' }));
  await row('Bob').waitFor();
  await post(roomwatch, left('bob', 'Bob'));
  await row('Bob').waitFor({ state: 'detached' });
  // The history of a session is fetched again some seconds after an event in it.
  await panel('Session timeline').getByText('Bob', { exact: true }).waitFor();
  // A leave is shown at once: until then the page would contradict itself.
  await post(roomwatch, came('carl', { name: 'Carl' }));
  await panel('Session timeline').getByText('Carl', { exact: true }).waitFor();
  await panel('Session timeline')
    .getByTitle(/^joined [\d:]+, still connected$/)
    .last()
    .waitFor();
  const before = Date.now();
  await post(roomwatch, left('carl', 'Carl'));
  await until(
    'the leave',
    async () =>
      (await panel('Session timeline')
        .getByTitle(/, left$/)
        .count()) === 2,
    {
      every: 20,
    },
  );
  expect(Date.now() - before).toBeLessThan(3_000);
  // A row that fades has little contrast.
  await until('the row to be gone', async () => (await page.locator('.row-leave').count()) === 0);
  expect(await axe(page)).toEqual([]);
});

it('moves nothing while a menu of a row is open, also if a row above it is removed', async () => {
  await post(roomwatch, came('carol', { name: 'Carol' }));
  await page.mouse.move(0, 0);
  await page.getByRole('button', { name: 'Actions for Carol' }).press('Enter');
  const menu = page.getByRole('menu');
  await menu.waitFor();
  const before = await menu.boundingBox();
  await post(roomwatch, left('ada', 'Ada Lovelace'));
  await page.getByText('Ada Lovelace left').waitFor();
  // Longer than a removed row stays visible if no menu is open.
  const enough = Date.now() + 1_500;
  await until('a while to pass', async () => {
    expect(await menu.boundingBox()).toEqual(before);
    return Date.now() > enough;
  });
  await page.keyboard.press('Escape');
  await page.keyboard.press('Tab');
});

it('announces changes of state to a screen reader, and not every event', async () => {
  await page.goto(`${roomwatch.url}/events?room=${ROOM}`);
  await page.getByRole('status').getByText('Live', { exact: true }).waitFor();
  await page.evaluate(() => {
    const said: string[] = [];
    Object.assign(window, { said });
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const element = target instanceof Element ? target : target.parentElement;
        const region = element?.closest('[role="status"], [role="alert"], [role="log"], [aria-live]');
        if (region) said.push(region.textContent ?? '');
      }
    }).observe(document, { subtree: true, childList: true, characterData: true });
  });
  for (let i = 0; i < 20; i++) await post(roomwatch, published(`person-${i}`));
  await page.getByText('person-19 published microphone track').waitFor();
  const said = () => page.evaluate(() => (window as unknown as { said: string[] }).said);
  expect(await said()).toEqual([]);
  await page.getByRole('button', { name: 'Pause' }).click();
  await until('the pause to be read out', async () => (await said()).includes('Paused'));
});

it('has no errors', () => expect(found).toEqual([]));
