// Sessions: their list, their summary, and why participants left.
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { post } from './post.js';

const MINUTE_MS = 60_000;
/** Start of the sessions: two hours ago, on a whole minute. */
const START = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 120 * MINUTE_MS;

let roomwatch: Roomwatch;
let browser: Browser;
let context: BrowserContext | undefined;

const room = (name: string) => ({ sid: `RM_${name}`, name, creationTimeMs: String(START) });
const event = (name: string, seconds: number, type: string, more: object = {}) => ({
  event: type,
  room: room(name),
  createdAt: String(Math.floor(START / 1_000) + seconds),
  ...more,
});
const person = (name: string, identity: string, joined: number, more: object = {}) => ({
  participant: {
    sid: `PA_${name}_${identity}`,
    identity,
    state: 'ACTIVE',
    joinedAtMs: String(START + joined * 1_000),
    permission: { canPublish: true },
    ...more,
  },
});
const came = (name: string, identity: string, joined: number, more: object = {}) =>
  event(name, joined, 'participant_joined', person(name, identity, joined, more));
const left = (name: string, identity: string, joined: number, seconds: number, disconnectReason: string, more = {}) =>
  event(name, seconds, 'participant_left', person(name, identity, joined, { ...more, disconnectReason }));
const egress = (name: string, type: string, seconds: number, more: object) => ({
  event: type,
  createdAt: String(Math.floor(START / 1_000) + seconds),
  egressInfo: {
    egressId: `EG_${name}`,
    roomId: `RM_${name}`,
    roomName: name,
    startedAt: String((START + 5_000) * 1_000_000),
    updatedAt: String((START + seconds * 1_000) * 1_000_000),
    roomComposite: { roomName: name },
    ...more,
  },
});

beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({ name: 'sessions', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  const attributes = { 'sip.phoneNumber': '+4930123', 'sip.trunkID': 'ST_trunk', 'sip.callID': 'SCL_call' };
  const caller = { name: 'Caller', kind: 'SIP', attributes };
  for (const one of [
    event('consult', 0, 'room_started'),
    came('consult', 'weiss', 2, { name: 'Dr. Weiss' }),
    came('consult', 'jana', 10, { name: 'Jana Novak' }),
    egress('consult', 'egress_started', 5, { status: 'EGRESS_ACTIVE' }),
    left('consult', 'weiss', 2, 1_391, 'SIGNAL_CLOSE', { name: 'Dr. Weiss' }),
    left('consult', 'jana', 10, 1_432, 'CLIENT_INITIATED', { name: 'Jana Novak' }),
    egress('consult', 'egress_ended', 1_440, { status: 'EGRESS_FAILED', error: 'S3 403', endedAt: '1' }),
    event('consult', 1_452, 'room_finished'),

    event('call', 0, 'room_started'),
    came('call', 'agent', 1, { name: 'Assistant', kind: 'AGENT' }),
    came('call', 'sip_+49301', 5, caller),
    egress('call', 'egress_started', 5, { status: 'EGRESS_ACTIVE' }),
    egress('call', 'egress_ended', 60, { status: 'EGRESS_COMPLETE', endedAt: '1' }),
    left('call', 'sip_+49301', 5, 9, 'SIP_TRUNK_FAILURE', caller),
    left('call', 'agent', 1, 600, 'ROOM_DELETED', { name: 'Assistant', kind: 'AGENT' }),
    event('call', 600, 'room_finished'),
  ])
    await post(roomwatch, one);
  browser = await launch();
});
afterEach(async () => {
  await context?.close();
  context = undefined;
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

async function open(path: string): Promise<{ page: Page; found: string[] }> {
  const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce', timezoneId: 'UTC' });
  context = page.context();
  page.setDefaultTimeout(30_000);
  const found = complaints(context);
  await page.goto(`${roomwatch.url}${path}`);
  return { page, found };
}

const clock = (seconds: number) => new Date(START + seconds * 1_000).toISOString().slice(11, 19);

const rowOf = (page: Page, name: string) =>
  page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
const rooms = (page: Page) => page.getByRole('table', { name: 'Sessions' }).getByRole('link').allTextContents();

it('the list says what went wrong in each session', async () => {
  const { page, found } = await open('/sessions');
  const text = async (name: string) => (await rowOf(page, name).innerText()).replace(/\s+/g, ' ');
  await rowOf(page, 'consult').waitFor();
  expect(await text('consult')).toMatch(/^consult .* 24m 1\ds 2 people 0 1 lost recording failed 47$/);
  expect(await text('call')).toMatch(/^call recorded .* 10m 00s 1 person 1 call failed 0.1$/);
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('a session of 100,000 participants is shown in bounded time, as far as the server tells of it', async () => {
  const answer = await roomwatch.get('/api/sessions/RM_consult');
  // As many as the server gives at most. Other tests hold its API to the numbers.
  const participations = Array.from({ length: 20_000 }, (_, n) => ({
    ...answer.participations[0],
    sid: `PA_${n}`,
    identity: `person-${n}`,
    name: `Person ${n}`,
  }));
  const tracks = participations.map(({ sid, identity }) => ({
    sid: `TR_${sid}`,
    participantSid: sid,
    identity,
    name: '',
    type: 'audio',
    source: 'microphone',
    publishedAt: answer.session.startedAt + 5_000,
    unpublishedAt: null,
  }));
  const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce', timezoneId: 'UTC' });
  context = page.context();
  page.setDefaultTimeout(30_000);
  await page.route('**/api/sessions/RM_consult*', (route) =>
    route.fulfill({
      json: {
        ...answer,
        participations,
        tracks,
        session: { ...answer.session, participantCount: 100_000, peak: 90_000 },
      },
    }),
  );
  for (const view of ['timeline', 'table']) {
    const began = performance.now();
    await page.goto(`${roomwatch.url}/sessions/RM_consult?view=${view}`);
    await page.getByText('100,000 people took part, at most 90,000 at one time.').waitFor();
    await page.getByText('200 of 20,000 are shown.').first().waitFor();
    await page.getByRole('button', { name: 'Show 200 more' }).first().click();
    await page.getByText('400 of 20,000 are shown.').waitFor();
    expect(performance.now() - began, view).toBeLessThan(15_000);
    expect(await page.locator('*').count(), view).toBeLessThan(20_000);
  }
});

it('the list is sorted by its columns, and the address has the order', async () => {
  const { page, found } = await open('/sessions');
  const asked: string[] = [];
  page.on('request', (request) => asked.push(new URL(request.url()).search));
  await rowOf(page, 'consult').waitFor();
  await page.getByRole('status', { name: 'Totals' }).waitFor();
  asked.length = 0;
  await page.getByRole('button', { name: 'Minutes' }).click();
  await page.waitForURL((url) => url.searchParams.get('sort') === 'minutes');
  await until('the most minutes first', async () => (await rooms(page)).join() === 'consult,call');
  await page.getByRole('button', { name: 'Minutes' }).click();
  await until('the least minutes first', async () => (await rooms(page)).join() === 'call,consult');
  expect(await page.getByRole('columnheader', { name: 'Minutes' }).getAttribute('aria-sort')).toBe('ascending');
  // Another order counts nothing new.
  expect(asked.filter((query) => query.includes('totals=true'))).toEqual([]);
  expect(asked.filter((query) => query.includes('sort=minutes')).length).toBe(2);
  expect(new URL(page.url()).searchParams.get('desc')).toBe('false');
  await page.reload();
  await until('the same order', async () => (await rooms(page)).join() === 'call,consult');
  expect(found).toEqual([]);
});

it('the list is filtered by trouble and by parts of names, with totals of what matches', async () => {
  const { page, found } = await open('/sessions');
  const totals = page.getByRole('status', { name: 'Totals' });
  await until('the totals', async () =>
    /^2 sessions · 47 participant minutes · peak 2 · 3 people$/.test(await totals.innerText()),
  );
  await page.getByRole('button', { name: 'Call failed' }).click();
  await page.waitForURL((url) => url.searchParams.get('trouble') === 'call');
  await until('the call', async () => (await rooms(page)).join() === 'call');
  expect(await totals.innerText()).toBe('1 session · 0 participant minutes · peak 1 · 1 person');
  await page.getByRole('button', { name: 'Connection lost' }).click();
  await until('both', async () => (await rooms(page)).length === 2);
  await page.getByLabel('Participant (part of the name or identity)').fill('NOVÁK');
  await until('the consultation', async () => (await rooms(page)).join() === 'consult');
  await page.getByLabel('Room (part of the name)').fill('xyz');
  await page.getByRole('heading', { name: 'No session matches' }).waitFor();
  expect(await axe(page)).toEqual([]);
  await page.getByRole('button', { name: 'Show all' }).click();
  await until('both again', async () => (await rooms(page)).length === 2);
  await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Last hour' });
  await page.waitForURL((url) => url.searchParams.get('last') === '1h');
  await page.getByRole('heading', { name: 'No session matches' }).waitFor();
  expect(await page.getByRole('combobox', { name: 'When' }).inputValue()).toBe('1h');
  await page.getByRole('combobox', { name: 'When' }).selectOption({ label: 'Last 24 hours' });
  await until('both of the day', async () => (await rooms(page)).length === 2);
  expect(found).toEqual([]);
});

it('the list is saved as CSV', async () => {
  const { page } = await open('/sessions?trouble=call');
  await rowOf(page, 'call').waitFor();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export CSV' }).click(),
  ]);
  const lines = readFileSync(await download.path(), 'utf8').split('\r\n');
  expect(download.suggestedFilename()).toBe('sessions.csv');
  expect(lines[0]).toMatch(/^started,ended,project,room,sid,people,/);
  expect(lines[1]).toMatch(/,call,RM_call,1,1,0,1,1,/);
  expect(lines).toHaveLength(3);
});

it('a session begins with its summary in words', async () => {
  const { page } = await open('/sessions/RM_consult');
  const summary = page.getByRole('region', { name: 'Summary' });
  expect(await summary.innerText()).toMatch(
    new RegExp(
      `^Dr. Weiss left first at ${clock(1_391)}: connection lost. Jana Novak left 41s later. ` +
        'The recording failed: S3 403. In total 47 participant minutes',
    ),
  );
  await page.goto(`${roomwatch.url}/sessions/RM_call`);
  expect(await summary.innerText()).toMatch(
    new RegExp(`^The room was deleted .* at ${clock(600)}. The call of Caller failed at ${clock(9)}: SIP trunk error.`),
  );
});

it('the list fits a phone', async () => {
  const { page } = await open('/sessions');
  await page.setViewportSize({ width: 390, height: 800 });
  await rowOf(page, 'consult').getByText('1 lost').waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await page.getByRole('combobox', { name: 'Sort by' }).selectOption({ label: 'Minutes ↑' });
  await until('the least minutes first', async () => (await rooms(page)).join() === 'call,consult');
  expect(await axe(page)).toEqual([]);
});

it('the timeline has the reason at the end of the stay, and beside a stay that is too short for it', async () => {
  const { page } = await open('/sessions/RM_consult');
  const lost = page.getByText(`connection lost (signal closed) ${clock(1_391)}`);
  const bar = page.getByTitle(/^joined .*, connection lost/);
  const [text, stay] = await Promise.all([lost.boundingBox(), bar.boundingBox()]);
  if (!text || !stay) throw new Error('nothing is drawn');
  expect(stay.x + stay.width - (text.x + text.width)).toBeLessThan(20);
  expect(await axe(page)).toEqual([]);

  await page.goto(`${roomwatch.url}/sessions/RM_call`);
  const failed = page.getByText(`SIP trunk error ${clock(9)}`);
  const short = page.getByTitle(/^joined .*, SIP trunk error/);
  const [beside, call] = await Promise.all([failed.boundingBox(), short.boundingBox()]);
  if (!beside || !call) throw new Error('nothing is drawn');
  expect(call.width).toBeLessThan(20);
  expect(beside.x).toBeGreaterThan(call.x + call.width);
  expect(beside.x - (call.x + call.width)).toBeLessThan(40);
  expect(await axe(page)).toEqual([]);
});

it('an ended phone call has its number, trunk and result', async () => {
  const { page, found } = await open('/sessions/RM_call');
  const calls = page.getByRole('heading', { name: 'Calls' }).locator('xpath=ancestor::section');
  const facts = async () => (await calls.locator('li').innerText()).split('\n').filter(Boolean).join(' ');
  await until('the number', async () => /\+4930123/.test(await facts()));
  expect(await facts()).toMatch(/Trunk ST_trunk Call SCL_call Result SIP trunk error$/);
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('the zoom keeps the moment in its place, and the address has both', async () => {
  const { page } = await open('/sessions/RM_consult');
  await page.getByRole('button', { name: 'Next change' }).waitFor();
  const reach = async (seconds: number) => {
    const at = page.getByText(clock(seconds), { exact: true });
    await until('the moment', async () => {
      if (await at.first().isVisible()) return true;
      await page.getByRole('button', { name: 'Next change' }).click();
      return false;
    });
  };
  await reach(1_391);
  const line = page.locator('span.border-accent.border-l-2');
  const x = async () => (await line.boundingBox())?.x ?? Number.NaN;
  const before = await x();
  for (let n = 0; n < 4; n++) await page.getByRole('button', { name: 'Zoom in' }).click();
  expect(Math.abs((await x()) - before)).toBeLessThan(4);
  await page.waitForURL(
    (url) => url.searchParams.get('at') === String(START + 1_391_000 + 0) || url.searchParams.has('at'),
  );
  await page.waitForURL((url) => url.searchParams.get('zoom') === '16');
  const address = page.url();

  const other = await context?.newPage();
  if (!other) throw new Error('no page');
  await other.goto(address);
  await other.getByRole('link', { name: `Events at ${clock(1_391)}` }).waitFor();
  const again = await other.locator('span.border-accent.border-l-2').boundingBox();
  const view = await other.getByRole('region', { name: 'Timeline' }).last().boundingBox();
  if (!again || !view) throw new Error('nothing is drawn');
  expect(again.x).toBeGreaterThan(view.x + view.width * 0.25);
  expect(again.x).toBeLessThan(view.x + view.width * 0.95);

  // Without a moment, the centre stays.
  await page.goto(`${roomwatch.url}/sessions/RM_consult`);
  await page.getByRole('button', { name: 'Zoom in' }).click();
  const scrolled = await page
    .getByRole('region', { name: 'Timeline' })
    .last()
    .evaluate((box) => box.scrollLeft / (box.scrollWidth - box.clientWidth));
  expect(scrolled).toBeGreaterThan(0.4);
  expect(scrolled).toBeLessThan(0.6);
});

it('the events of the agents contain the participants that are agents', async () => {
  const { page } = await open('/events');
  await page.getByRole('button', { name: 'Agents' }).click();
  const rows = page.getByRole('listitem');
  await until('the agent only', async () => {
    const all = await rows.allInnerTexts();
    return all.length === 2 && all.every((text) => text.includes('Assistant'));
  });
  await post(roomwatch, came('call', 'agent-2', 601, { name: 'Second', kind: 'AGENT' }));
  await post(roomwatch, came('call', 'person', 602, { name: 'Person' }));
  await rows.filter({ hasText: 'Second' }).waitFor();
  expect(await rows.filter({ hasText: 'Person' }).count()).toBe(0);
  await page.getByLabel('Event types; * matches any characters').fill('agent_job_started');
  await page.waitForURL((url) => url.searchParams.get('type') === 'agent_job_started');
});

it('in high contrast, what is a background only has a border, and a choice an outline', async () => {
  const { page } = await open('/sessions/RM_consult');
  await page.emulateMedia({ forcedColors: 'active' });
  await page.getByText('S3 403', { exact: true }).waitFor();
  const style = (selector: string, property: string) =>
    page
      .locator(selector)
      .first()
      .evaluate((element, name) => getComputedStyle(element).getPropertyValue(name), property);
  expect(await style('[title*="S3 403"].shape', 'border-top-width')).toBe('1px');
  expect(await style('[aria-label=Legend] .shape', 'border-top-width')).toBe('1px');
  expect(await style('fieldset[aria-label=View] [aria-pressed=true]', 'outline-style')).toBe('solid');
  expect(await style('nav[aria-label=Pages] [aria-current=page]', 'outline-style')).toBe('solid');
  const dot = await style('.dot', 'background-color');
  expect(dot).not.toBe(await style('body', 'background-color'));
});
