// Takes the pictures in docs/screenshots: every page, light and dark, wide and narrow, and the states a page can be in.
// `npm run screenshots --workspace e2e`, after `make web` and `cargo build`.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { roomwatchBinary } from './harness/roomwatch.js';
import { freePort, until } from './harness/wait.js';

const out = join(import.meta.dirname, '..', 'docs', 'screenshots');
const FLAGS = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking';
const SIZES = [
  { width: 1440, height: 900 },
  { width: 390, height: 844 },
];

/** A server for the time of `use`; it has a directory of its own. */
async function server(
  args: string[],
  env: Record<string, string>,
  use: (base: string, child: ChildProcess) => Promise<void>,
) {
  const dir = mkdtempSync(join(tmpdir(), 'roomwatch-shots-'));
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const child = spawn(roomwatchBinary(), [...args, '--listen', `127.0.0.1:${port}`], {
    cwd: dir,
    env: { PATH: process.env.PATH, ...env },
    stdio: 'ignore',
  });
  try {
    await until('the server is ready', async () => (await fetch(`${base}/readyz`).catch(() => undefined))?.ok === true);
    await use(base, child);
  } finally {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Opens `path` in every theme and size and keeps what is seen once `ready` says so. */
async function shoot(
  browser: Browser,
  name: string,
  url: string,
  ready: (page: Page) => Promise<unknown>,
  sizes = SIZES,
) {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const viewport of sizes) {
      const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
      const page = await context.newPage();
      await page.goto(url);
      await ready(page);
      await page.screenshot({ path: join(out, `${name}-${colorScheme}-${viewport.width}.png`) });
      await context.close();
    }
  }
}

const heading = (page: Page) => page.getByRole('heading', { level: 1 }).first().waitFor();
const settled = async (page: Page) => {
  await heading(page);
  await page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => undefined);
};

mkdirSync(out, { recursive: true });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS.split(' ') });
try {
  await server(['demo', '--rate', '40'], {}, async (base, child) => {
    type Listed = {
      rooms: { name: string; participantCount: number }[];
      sessions: { sid: string; endedAt: number | null }[];
    };
    const get = async (path: string): Promise<Listed> => (await fetch(base + path)).json() as Promise<Listed>;
    const over = async () => (await get('/api/sessions')).sessions.some((session) => session.endedAt !== null);
    await until('a meeting has ended', over, { within: 120_000 });
    const busiest = (await get('/api/rooms')).rooms.sort((a, b) => b.participantCount - a.participantCount)[0];
    const ended = (await get('/api/sessions')).sessions.find((session) => session.endedAt !== null);
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['room', `/rooms/${busiest?.name}`],
      ['sessions', '/sessions'],
      ['session', `/sessions/${ended?.sid}`],
      ['events', '/events'],
      ['settings', '/settings'],
    ] as const) {
      await shoot(browser, `${name}-busy`, base + path, settled);
    }
    await shoot(browser, 'room-ended', `${base}/rooms/no-such-room`, settled, SIZES.slice(0, 1));
    await shoot(
      browser,
      'overview-loading',
      base,
      async (page) => {
        await page.route('**/api/**', () => undefined);
        await page.reload({ waitUntil: 'domcontentloaded' });
        await page.waitForTimeout(500);
      },
      SIZES.slice(0, 1),
    );
    const context = await browser.newContext({ viewport: SIZES[0], reducedMotion: 'reduce' });
    const page = await context.newPage();
    await page.goto(`${base}/rooms`);
    await settled(page);
    child.kill('SIGKILL');
    await page.waitForTimeout(6_000);
    await page.screenshot({ path: join(out, 'rooms-disconnected-light-1440.png') });
    await context.close();
  });
  await server(['serve', '--dev', '--reconcile-secs', '0'], {}, async (base) => {
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['sessions', '/sessions'],
      ['events', '/events'],
    ] as const) {
      await shoot(browser, `${name}-empty`, base + path, settled, SIZES.slice(0, 1));
    }
    const load = [
      'simulate',
      '--url',
      base,
      '--rooms',
      '10000',
      '--participants',
      '1',
      '--rate',
      '1',
      '--duration',
      '1',
    ];
    const filling = spawn(roomwatchBinary(), load, { stdio: 'ignore' });
    const listed = async () => ((await (await fetch(`${base}/api/rooms`)).json()) as { rooms: unknown[] }).rooms.length;
    try {
      await until('ten thousand rooms', async () => (await listed()) === 10_000, { within: 400_000 });
      await shoot(browser, 'rooms-10000', `${base}/rooms`, settled);
    } finally {
      filling.kill('SIGKILL');
    }
  });
  const guarded = { LIVEKIT_API_KEY: 'key', LIVEKIT_API_SECRET: 'secret', ROOMWATCH_PASSWORD: 'password' };
  await server(['serve'], guarded, async (base) => {
    await shoot(browser, 'sign-in', base, (page) => page.getByLabel('Password', { exact: true }).waitFor());
  });
} finally {
  await browser.close();
}
