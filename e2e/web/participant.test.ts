// The page of a participant: from every name to it, the search in other scripts, and hostile identities.
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
/** U+202E turns the text after it around. */
const HOSTILE = 'a/b/../c?d#\u202egnp.exe';
/** 500 characters, without a place for a line break. */
const LONG = `../a/\u202e${'x'.repeat(494)}`;

let roomwatch: Roomwatch;
let browser: Browser;
let context: BrowserContext | undefined;

const event = (name: string, seconds: number, type: string, more: object = {}) => ({
  event: type,
  room: { sid: `RM_${name}`, name, creationTimeMs: String(START) },
  createdAt: String(Math.floor(START / 1_000) + seconds),
  ...more,
});
const person = (sid: string, identity: string, joined: number, name: string, more: object = {}) => ({
  participant: {
    sid,
    identity,
    name,
    state: 'ACTIVE',
    joinedAtMs: String(START + joined * 1_000),
    permission: { canPublish: true },
    ...more,
  },
});
const came = (room: string, sid: string, identity: string, joined: number, name: string) =>
  event(room, joined, 'participant_joined', person(sid, identity, joined, name));
const left = (
  room: string,
  sid: string,
  identity: string,
  joined: number,
  seconds: number,
  name: string,
  why: string,
) => event(room, seconds, 'participant_left', person(sid, identity, joined, name, { disconnectReason: why }));

beforeAll(async () => {
  // No LiveKit has these rooms, so Roomwatch must not compare.
  roomwatch = await Roomwatch.start({ name: 'participant', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  for (const one of [
    event('consult', 0, 'room_started'),
    came('consult', 'PA_1', 'maria-7', 10, 'Мария Иванова'),
    left('consult', 'PA_1', 'maria-7', 10, 70, 'Мария Иванова', 'SIGNAL_CLOSE'),
    came('consult', 'PA_2', 'maria-7', 80, 'Мария Иванова'),
    left('consult', 'PA_2', 'maria-7', 80, 140, 'Мария Иванова', 'CLIENT_INITIATED'),
    event('consult', 150, 'room_finished'),
    event('standup', 200, 'room_started'),
    came('standup', 'PA_3', 'maria-7', 210, 'Мария Иванова'),
    came('standup', 'PA_4', 'bob', 220, 'Bob'),
    came('standup', 'PA_5', HOSTILE, 230, ''),
    came('standup', 'PA_6', LONG, 235, ''),
    event('standup', 240, 'egress_started', {
      egressInfo: { egressId: 'EG_1', roomId: 'RM_standup', roomName: 'standup', status: 'EGRESS_ACTIVE' },
    }),
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

async function open(path: string, options: object = {}): Promise<{ page: Page; found: string[] }> {
  const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce', timezoneId: 'UTC', ...options });
  context = page.context();
  page.setDefaultTimeout(30_000);
  const found = complaints(context);
  await page.goto(`${roomwatch.url}${path}`);
  return { page, found };
}

const fact = async (page: Page, name: string) => page.locator(`//dt[.='${name}']/following-sibling::dd`).innerText();
const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();

it('a name in the feed leads to the page of the participant', async () => {
  const { page, found } = await open('/');
  await page.getByRole('link', { name: 'Мария Иванова' }).first().click();
  await heading(page, 'Мария Иванова');
  expect(new URL(page.url()).pathname).toBe('/participants/maria-7');
  expect(await fact(page, 'Sessions')).toBe('2');
  expect(await fact(page, 'Rooms')).toBe('2');
  expect(await fact(page, 'Connection losses')).toBe('1');
  expect(await fact(page, 'Last seen')).toBe('now');
  expect(await page.getByRole('region', { name: 'Now' }).innerText()).toMatch(/^Now in standup/);
  const stays = page.getByRole('region', { name: 'Stays' });
  expect(await stays.getByText('connection lost (signal closed)').count()).toBe(1);
  // Her events, and no others.
  const events = page.getByRole('region', { name: 'Events' });
  await events.getByRole('listitem').first().waitFor();
  expect(await events.getByRole('listitem').count()).toBe(5);
  expect(await events.innerText()).not.toContain('Bob');
  expect(await axe(page)).toEqual([]);

  // It follows: the leave is on the page without a reload.
  await post(roomwatch, left('standup', 'PA_3', 'maria-7', 210, 7_000, 'Мария Иванова', 'CONNECTION_TIMEOUT'));
  await page.getByText('connection timed out').first().waitFor();
  await page.getByRole('region', { name: 'Now' }).waitFor({ state: 'detached' });
  expect(await fact(page, 'Connection losses')).toBe('2');

  // From there to the session, and from its names back.
  await stays.getByRole('link', { name: 'consult' }).first().click();
  await heading(page, 'consult');
  await page.getByRole('link', { name: 'Мария Иванова' }).last().click();
  await heading(page, 'Мария Иванова');
  await page.goBack();
  // Also from the summary in words.
  await page.getByRole('region', { name: 'Summary' }).getByRole('link', { name: 'Мария Иванова' }).click();
  await heading(page, 'Мария Иванова');
  expect(found).toEqual([]);
});

it('the palette finds a participant by a part of the name in another script', async () => {
  const { page, found } = await open('/rooms');
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').pressSequentially('иванова');
  const option = page.getByRole('option', { name: /^Мария Иванова/ });
  await option.waitFor();
  await page.keyboard.press('Control+a');
  await page.getByRole('combobox').pressSequentially('мария');
  await page.getByRole('option', { name: /^Мария Иванова/, selected: true }).waitFor();
  // Enter opens her page, live or not: it says where she is. The room is behind Tab.
  await page.keyboard.press('Enter');
  await heading(page, 'Мария Иванова');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').pressSequentially('bob');
  await page.getByRole('option', { name: /^Bob/, selected: true }).waitFor();
  await page.keyboard.press('Tab');
  await page.getByRole('option', { name: /^Open standup/, selected: true }).waitFor();
  await page.keyboard.press('Enter');
  // The name of the room, and that it is being recorded once that is known.
  await page.getByRole('heading', { name: /^standup( Recording)?$/, level: 1 }).waitFor();
  expect(found).toEqual([]);
});

it('the events page shows the events of one participant', async () => {
  const { page, found } = await open('/events');
  const list = page.getByRole('list', { name: 'Events, newest first' });
  await list.getByText('Recording').waitFor();
  await page.getByLabel('Participant (exact identity)').fill('bob');
  await page.waitForURL(/participant=bob/);
  await list.getByText('Recording').waitFor({ state: 'detached' });
  await list.getByText('Bob').waitFor();
  expect(await list.getByRole('listitem').count()).toBe(1);
  await list.getByRole('button', { name: /Bob joined/ }).click();
  await page.getByRole('link', { name: 'Participant', exact: true }).click();
  await heading(page, 'Bob');
  await page.getByRole('link', { name: 'View events' }).click();
  await page.waitForURL(/participant=bob/);
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('a hostile identity has a page, and turns no text around', async () => {
  const { page, found } = await open('/sessions/RM_standup?view=table');
  const shown = 'a/b/../c?d#⟨202E⟩gnp.exe';
  const link = page.getByRole('region', { name: 'Participants' }).getByRole('link', { name: shown });
  expect(await link.getAttribute('href')).toContain(`/participants/${encodeURIComponent(HOSTILE)}`);
  await link.click();
  await heading(page, shown);
  // Also in the line of the identity, where it can be copied.
  expect(await page.getByRole('main').locator('code').innerText()).toBe(shown);
  expect(await fact(page, 'Sessions')).toBe('1');
  await page.getByRole('region', { name: 'Events' }).getByRole('listitem').first().waitFor();
  await page.reload();
  await heading(page, shown);
  expect(await fact(page, 'Sessions')).toBe('1');
  await page.getByRole('link', { name: 'View events' }).click();
  await page.getByRole('button', { name: /joined/ }).waitFor();
  expect(found).toEqual([]);
});

it('an identity of 500 characters fits every page, and its links lead to it', async () => {
  const phone = { kind: 'SIP', permission: {} };
  await post(roomwatch, event('standup', 236, 'participant_joined', person('PA_8', LONG.slice(4), 236, '', phone)));
  const { page, found } = await open('/', { viewport: { width: 390, height: 844 } });
  const shown = LONG.replace('\u202e', '⟨202E⟩');
  const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  const inFeed = page.getByRole('link', { name: shown }).first();
  await inFeed.waitFor();
  expect(await overflow()).toBeLessThanOrEqual(0);
  await inFeed.click();
  await heading(page, shown);
  expect(decodeURIComponent(new URL(page.url()).pathname)).toBe(`/participants/${LONG}`);
  expect(await fact(page, 'Sessions')).toBe('1');
  expect(await overflow()).toBeLessThanOrEqual(0);
  for (const [path, text] of [
    ['/rooms/standup', shown],
    ['/sessions/RM_standup', shown],
    ['/sessions/RM_standup?view=table', shown],
    [`/events?participant=${encodeURIComponent(LONG)}`, shown],
    [`/sessions?identity=${encodeURIComponent(LONG)}`, 'standup'],
    ['/calls', shown.slice(4)],
  ] as const) {
    await page.goto(`${roomwatch.url}${path}`);
    await until(path, async () => (await page.getByRole('main').innerText()).includes(text));
    expect(await overflow(), path).toBeLessThanOrEqual(0);
    expect(await page.locator('body').innerText(), path).not.toContain('\u202e');
  }
  await page.keyboard.press('Control+k');
  await page.getByPlaceholder('Room, person, SID or command').pressSequentially('xxxx');
  await page.getByRole('option', { name: shown }).first().waitFor();
  expect(await page.locator('body').innerText()).not.toContain('\u202e');
  await page.keyboard.press('Escape');
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('an unknown identity says what may be wrong, and a narrow screen shows everything', async () => {
  const { page } = await open('/participants/unknown', { viewport: { width: 390, height: 844 } });
  await page.getByRole('heading', { name: 'Participant not found' }).waitFor();
  expect(await axe(page)).toEqual([]);
  await page.goto(`${roomwatch.url}/participants/maria-7`);
  await heading(page, 'Мария Иванова');
  await page.getByRole('region', { name: 'Stays' }).waitFor();
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  expect(await axe(page)).toEqual([]);
});
