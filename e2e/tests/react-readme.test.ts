// Issue 4: runs the first example of packages/react's README unchanged, in an app on another port, with a
// `roomwatch serve --dev` that allows that app, as the README says.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { Child } from '../harness/child.js';
import { roomwatchBinary } from '../harness/roomwatch.js';
import { freePort, until } from '../harness/wait.js';
import { joined, post, started } from '../web/post.js';

/** The key that `serve --dev` and `livekit-server --dev` share. */
const DEV = { key: 'devkey', secret: 'secret' };
const E2E = join(import.meta.dirname, '..');

const cleanup: (() => unknown)[] = [];
let page: Page;
let at: { webhookUrl: string };

/** Builds the example, and the four lines that every app has, into one script. */
async function pasted(port: number): Promise<string> {
  const readme = readFileSync(join(E2E, '..', 'packages', 'react', 'README.md'), 'utf8');
  const [, example = ''] = /```tsx\n([\s\S]*?)```/.exec(readme) ?? [];
  expect(example).toContain('http://localhost:3001');
  mkdirSync(join(E2E, '.artifacts'), { recursive: true });
  const app = mkdtempSync(join(E2E, '.artifacts', 'readme-'));
  cleanup.push(() => rmSync(app, { recursive: true }));
  writeFileSync(join(app, 'App.tsx'), example.replace('localhost:3001', `localhost:${port}`));
  writeFileSync(
    join(app, 'main.tsx'),
    `import { createRoot } from 'react-dom/client';
import { App } from './App';
createRoot(document.body.appendChild(document.createElement('div'))).render(<App />);`,
  );
  const built = await build({
    root: E2E,
    configFile: false,
    logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"development"' },
    resolve: { conditions: ['roomwatch-source', 'browser', 'module', 'import'] },
    build: { write: false, lib: { entry: join(app, 'main.tsx'), formats: ['iife'], name: 'App', fileName: 'app' } },
  });
  const { output } = (Array.isArray(built) ? built[0] : built) as { output: { code?: string }[] };
  return output[0]?.code ?? '';
}

beforeAll(async () => {
  const [port, appPort] = [await freePort(), await freePort()];
  const data = mkdtempSync(join(tmpdir(), 'roomwatch-readme-'));
  const roomwatch = new Child(
    'readme',
    roomwatchBinary(),
    ['serve', '--dev', '--listen', `127.0.0.1:${port}`, '--data-dir', data],
    { ROOMWATCH_CORS_ORIGINS: `http://localhost:${appPort}`, ROOMWATCH_RECONCILE_SECS: '0' },
  );
  cleanup.push(async () => {
    await roomwatch.stop('SIGKILL');
    rmSync(data, { recursive: true, force: true });
  });
  at = { webhookUrl: `http://127.0.0.1:${port}/api/webhooks/livekit` };
  await until('roomwatch', async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok);
  const script = await pasted(port);
  const app = createServer((request, response) =>
    request.url === '/app.js'
      ? response.setHeader('content-type', 'text/javascript').end(script)
      : response
          .setHeader('content-type', 'text/html; charset=utf-8')
          .end('<!doctype html><title>app</title><body><script src="app.js"></script>'),
  ).listen(appPort, 'localhost');
  cleanup.push(() => app.close());
  const browser = await launch();
  cleanup.push(() => browser.close());
  page = await browser.newPage();
  await page.goto(`http://localhost:${appPort}/`);
});
afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('lists rooms and counts participants, as they join', async () => {
  await post(at, started('standup'), DEV);
  await page.getByText('standup: 0').waitFor();
  await post(at, joined('standup', 'ada'), DEV);
  await page.getByText('standup: 1').waitFor();
});
