// The Cluster page: a single node says that it is one, a deployment shows its nodes and servers, and what is wrong with them.
// tests/cluster has the answers of a real deployment.
import type { Cluster } from '@roomwatch/react';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { type Roomwatch, userToml } from '../harness/roomwatch.js';
import { startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('cluster', `${userToml('olga', 'operator')}${userToml('victor', 'viewer')}`);
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

async function open(user: string, path: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

/** Answers as a deployment of three nodes does. */
async function answers(deployment: Cluster): Promise<void> {
  await page.route('**/api/cluster', (route) => route.fulfill({ json: deployment }));
  await page.goto(`${roomwatch.url}/cluster`);
}

const MINUTE = 60_000;

function deployment(): Cluster {
  const now = Date.now();
  const node = (name: string, leases: string[]) => ({
    name,
    version: '0.1.0',
    own: name.startsWith('rw-1'),
    since: now - 3_000 * MINUTE,
    heardAt: now - 2_000,
    silent: false,
    cursor: '5f3a9c1e-48213',
    lagEvents: 0,
    behindMs: 0,
    away: null,
    leases,
  });
  const stream = (name: string, messages: number, bytes: number, maxBytes: number | null) => ({
    name,
    servers: [
      { name: 'n1', leader: true, current: true },
      { name: 'n2', leader: false, current: true },
      { name: 'n3', leader: false, current: true },
    ],
    messages,
    bytes,
    maxBytes,
    error: null,
    missingMs: null,
  });
  return {
    nodes: [
      node('rw-1.example.com:7800', ['attention']),
      node('rw-2.example.com:7800', ['bootstrap', 'reconcile/production']),
      node('rw-3.example.com:7800', []),
    ],
    engine: {
      answeredAt: now - 1_000,
      away: false,
      newest: 48_213,
      streams: [
        stream('RW_default', 48_213, 41_000_000, 21_474_836_480),
        stream('RW_default_MAPS', 31, 14_000, null),
        stream('RW_default_COUNTS', 12, 2_000, null),
        stream('RW_default_BLOBS', 44, 22_000_000, null),
      ],
      epochs: [
        { epoch: '5f3a9c1e', at: now - 2_000 * MINUTE, why: 'the stream was created again' },
        { epoch: '0b77d210', at: now - 90_000 * MINUTE, why: 'the deployment was created' },
      ],
      bootstrap: { storedAt: now - 12 * MINUTE, cursor: '5f3a9c1e-48100' },
    },
  };
}

describe('the cluster page', () => {
  it('says that a single node is one, and is reached from Settings', async () => {
    await open('olga', '/settings');
    await page.getByRole('link', { name: 'Cluster' }).click();
    await page.getByText('This is a single node').waitFor();
    const link = page.getByRole('link', { name: 'Run several nodes' });
    expect(await link.getAttribute('href')).toMatch(/docs\/cluster\.md$/);
    expect(await axe(page)).toEqual([]);
    await picture(page, 'cluster-single');
  });

  it('is for operators', async () => {
    await open('victor', '/settings');
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    expect(await page.getByRole('link', { name: 'Cluster' }).count()).toBe(0);
    await page.goto(`${roomwatch.url}/cluster`);
    await page.getByText('Only operators can see the cluster').waitFor();
  });

  it('shows a deployment', async () => {
    await open('olga', '/cluster');
    await answers(deployment());
    const nodes = page.getByRole('region', { name: 'Nodes' }).getByRole('listitem');
    await nodes.filter({ hasText: 'rw-2.example.com:7800' }).filter({ hasText: 'sync of production' }).waitFor();
    expect(await nodes.count()).toBe(3);
    expect(await nodes.first().innerText()).toContain('answers you');
    await page.getByText('48,213 messages, 41 MB of 21 GB').waitFor();
    await page.getByText('the stream was created again').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'cluster-light');
  });

  it('shows what is wrong, on a phone', async () => {
    await open('olga', '/cluster', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    const broken = deployment();
    const [, silent, behind] = broken.nodes;
    Object.assign(silent ?? {}, { silent: true, heardAt: Date.now() - 4 * MINUTE });
    Object.assign(behind ?? {}, { lagEvents: 1_204, behindMs: 45_000 });
    const [events, maps] = broken.engine?.streams ?? [];
    Object.assign(events?.servers[2] ?? {}, { current: false });
    Object.assign(events ?? {}, { missingMs: 4 * MINUTE });
    Object.assign(maps ?? {}, { error: 'there is no stream RW_default_MAPS', missingMs: MINUTE });
    await answers(broken);
    await page.getByText('1,204 events behind for 45s').waitFor();
    await page.getByText('n3 is behind or offline').waitFor();
    await page.getByText('there is no stream RW_default_MAPS').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'cluster-dark-390');
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  });

  it('says that NATS is out of reach', async () => {
    await open('olga', '/cluster', { colorScheme: 'dark' });
    const away = deployment();
    Object.assign(away.engine ?? {}, { away: true, answeredAt: Date.now() - MINUTE });
    Object.assign(away.nodes[0] ?? {}, { away: { from: Date.now() - MINUTE, to: null } });
    await answers(away);
    await page.getByText('This node cannot reach NATS, so it does not hear the others.').waitFor();
    await page.getByText('Webhooks are refused').waitFor();
    expect(await page.getByText('unknown', { exact: true }).count()).toBe(2);
    expect(await axe(page)).toEqual([]);
    await picture(page, 'cluster-away');
  });
});
