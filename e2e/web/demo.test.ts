// Issue 4: `make run` opens a dashboard that a new user understands: what it is, that it is a demo, and what is live.
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

it('does not pretend to have a LiveKit: it offers neither comparison nor watching', async () => {
  await page.goto(`${url}/settings`);
  await page.getByText('this project has no LiveKit').waitFor();
  await page.getByText('No LiveKit in the demo.').waitFor();
  expect(await axe(page)).toEqual([]);
  const { rooms } = (await (await fetch(`${url}/api/rooms`)).json()) as { rooms: { name: string }[] };
  await page.goto(`${url}/rooms/${rooms[0]?.name}?view=watch`);
  await page.getByText('Nothing to watch in the demo').waitFor();
  expect(await axe(page)).toEqual([]);
  expect(found).toEqual([]);
});

it('ends after a signal, although a page is open', async () => {
  expect(await demo.stop('SIGINT', 3_000)).toBe(0);
});
