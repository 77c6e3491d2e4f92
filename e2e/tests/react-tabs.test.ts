import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { PASSWORD, Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';

// The stream core of packages/react with Chromium's own EventSource, Web Locks and BroadcastChannel, and the real server.

const cleanup: (() => unknown)[] = [];
let server: Roomwatch;
let context: BrowserContext;
let page: string;
let tabs: Page[] = [];

const status = (tab: Page): Promise<string> => tab.evaluate(() => (window as any).connection.getState().status);
const heard = (tab: Page): Promise<string[]> => tab.evaluate(() => (window as any).cursors);
const opened = (tab: Page): Promise<number> => tab.evaluate(() => (window as any).opened);
const all = (wanted: string) =>
  until(`all tabs to be ${wanted}`, async () => (await Promise.all(tabs.map(status))).every((one) => one === wanted));

async function open(): Promise<Page> {
  const tab = await context.newPage();
  await tab.goto(`${server.url}/tab`);
  return tab;
}

/** Causes an event: a webhook that Roomwatch sends to itself, as the button on the Settings page does. */
async function happen(times = 1): Promise<void> {
  for (let n = 0; n < times; n++) {
    const { status: answer } = await server.request('POST', '/api/projects/default/test-webhook');
    expect(answer).toBeLessThan(300);
  }
}

/** Checks that every tab has received the log from its beginning on, in order, without a gap or a duplicate. */
async function exact(): Promise<void> {
  const log = (await server.log()).map(({ cursor }) => cursor);
  for (const tab of tabs) {
    await until('the tab to be at the head', async () => (await heard(tab)).at(-1) === log.at(-1));
    const mine = await heard(tab);
    expect(mine).toEqual(log.slice(log.length - mine.length));
  }
}

beforeAll(async () => {
  server = await Roomwatch.start();
  cleanup.push(() => server.close());
  const built = await build({
    root: join(import.meta.dirname, '..'),
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['roomwatch-source', 'browser', 'module', 'import'] },
    build: { write: false, lib: { entry: 'pages/tab.ts', formats: ['iife'], name: 'Tab', fileName: 'tab' } },
  });
  const { output } = (Array.isArray(built) ? built[0] : built) as { output: { code?: string }[] };
  page = `<!doctype html><title>tab</title><script>${output[0]?.code ?? ''}</script>`;
  const browser = await launch();
  cleanup.push(() => browser.close());
  context = await browser.newContext();
  await context.route('**/tab', (route) => route.fulfill({ contentType: 'text/html', body: page }));
});

afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('waits while signed out, and all tabs are live on one stream after a sign-in', async () => {
  tabs = [await open(), await open(), await open()];
  await all('signed_out');
  await tabs[1]?.evaluate(async (password) => {
    const body = JSON.stringify({ password });
    await fetch('/api/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    (window as any).connection.retry();
  }, PASSWORD);
  await all('live');
  const me = await tabs[0]?.evaluate(() => fetch('/api/me').then((answer) => answer.json()));
  expect(me?.streams.open).toBe(1);
  await happen(5);
  await exact();
});

it('hands the stream over when the leading tab is closed', async () => {
  const counts = await Promise.all(tabs.map(opened));
  const leader = counts.findIndex((count) => count > 0);
  const [gone] = tabs.splice(leader, 1);
  await gone?.close();
  await happen(3);
  await exact();
  tabs.push(await open());
  await all('live');
  await happen();
  await exact();
});

it('continues after the server was killed, without a second source', async () => {
  const before = await Promise.all(tabs.map(opened));
  await server.kill();
  await until('the tabs to notice', async () => (await Promise.all(tabs.map(status))).every((one) => one !== 'live'));
  await server.up();
  await happen(4);
  await all('live');
  await exact();
  expect(await Promise.all(tabs.map(opened))).toEqual(before);
});

it('is signed out in every tab after a sign-out in one', async () => {
  await tabs[0]?.evaluate(() => fetch('/api/logout', { method: 'POST' }).then(() => undefined));
  await all('signed_out');
});
