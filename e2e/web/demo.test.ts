// Issues 4 and 16: `make run` opens a dashboard that a new user understands: what it is, that it is a demo, and what is live.
// It has a month of history, something needs attention within a minute, and commands act on the simulated meetings.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { Child } from '../harness/child.js';
import { axe, complaints } from '../harness/dashboard.js';
import { roomwatchBinary } from '../harness/roomwatch.js';
import { freePort, until } from '../harness/wait.js';

let demo: Child;
let url: string;
let browser: Browser;
let page: Page;
let found: string[];

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  demo = new Child('demo', roomwatchBinary(), ['demo', '--listen', `127.0.0.1:${port}`]);
  await until('the demonstration', async () => (await fetch(`${url}/readyz`)).ok);
  browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  found = complaints(context);
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
});
afterAll(async () => {
  await browser?.close();
  await demo?.stop('SIGTERM');
});

it('shows what it is, that it is a demo, and how many rooms are live', async () => {
  await page.goto(url);
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
  await page.getByText('This is a demo.').waitFor();
  const totals = page.getByRole('region', { name: 'Live now' });
  await until('rooms and people', async () => {
    const [rooms, people] = await totals.getByRole('link').allInnerTexts();
    return /\b[1-9]\d*\b/.test(rooms ?? '') && /\b[1-9]\d*\b/.test(people ?? '');
  });
  expect(await axe(page)).toEqual([]);
});

it('shows something that needs attention within a minute', async () => {
  await page.goto(url);
  const attention = page.getByRole('region', { name: 'Needs attention' });
  await attention.getByText('No agent', { exact: false }).waitFor({ timeout: 60_000 });
  await attention.getByText('Call failed', { exact: false }).waitFor();
  expect(await axe(page)).toEqual([]);
});

it('has a chart of the last hour, and sessions of a month', async () => {
  const chart = page.getByRole('img', { name: /^[1-9]\d* joins and [1-9]\d* leaves/ });
  await chart.waitFor();
  const ago = Date.now() - 27 * 86_400_000;
  const { sessions } = (await (await fetch(`${url}/api/sessions?to=${ago}`)).json()) as { sessions: { sid: string }[] };
  expect(sessions.length).toBeGreaterThan(5);
  await page.goto(`${url}/sessions/${sessions[0]?.sid}`);
  await page.getByRole('heading', { name: 'Timeline' }).waitFor();
  await page.getByText('ended', { exact: true }).first().waitFor();
});

it('is connected to its LiveKit, and says that it is simulated', async () => {
  await page.goto(`${url}/settings`);
  await page.getByText('Connected', { exact: true }).waitFor();
  await page.getByText('The meetings and this LiveKit are simulated.').waitFor();
  expect(await axe(page)).toEqual([]);
});

/** A room with two people, or about as many. */
async function smallRoom() {
  const answer = (await (await fetch(`${url}/api/rooms`)).json()) as {
    rooms: { name: string; sid: string; participantCount: number }[];
  };
  const distance = (room: { participantCount: number }) => Math.abs(room.participantCount - 2);
  const [room] = answer.rooms.sort((a, b) => distance(a) - distance(b));
  if (!room) throw new Error('there is no room');
  return room;
}

it('ends a room that the user ends, and says who did it', async () => {
  const room = await smallRoom();
  await page.goto(`${url}/rooms/${room.name}`);
  await page.getByRole('button', { name: 'End room' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End room' }).click();
  await page.getByText(/^Ended (just now|\d+s ago)/).waitFor();
  await page.goto(`${url}/sessions/${room.sid}`);
  await page
    .getByText(/ended by/)
    .first()
    .waitFor();
  await page.goto(`${url}/audit`);
  await page.getByText(room.name).first().waitFor();
});

it('offers nothing to watch: there is no video', async () => {
  const room = await smallRoom();
  await page.goto(`${url}/rooms/${room.name}?view=watch`);
  await page.getByText('Nothing to watch in the demo').waitFor();
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('ends after a signal, although a page is open', async () => {
  expect(await demo.stop('SIGINT', 3_000)).toBe(0);
});
