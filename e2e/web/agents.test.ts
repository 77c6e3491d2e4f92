// The Agents page: where agents are, what they did, and which rooms have none.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { type Roomwatch, userToml } from '../harness/roomwatch.js';
import { joined, post, room, startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit(
    'agents',
    `[attention]
agent_missing_secs = 1
[[attention.agents]]
rooms = "voice-*"
${userToml('victor', 'viewer')}`,
  );
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const agent = (event: string, name: string, more: object = {}) => ({
  event,
  room: room(name),
  participant: {
    sid: `PA_agent_${name}`,
    identity: `agent-AJ_${name}`,
    kind: 'AGENT',
    state: event === 'participant_left' ? 'DISCONNECTED' : 'ACTIVE',
    joinedAtMs: String(Date.now() - 90_000),
    permission: { agent: true },
    attributes: { 'lk.agent.name': 'support', 'lk.agent.state': 'listening' },
    ...more,
  },
});
const row = (text: string) =>
  page.getByRole('list', { name: 'Agents', exact: true }).locator(':scope > li').filter({ hasText: text });

async function open(path = '/agents', options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user: 'victor', reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

describe('agents', () => {
  it('appear with their rooms, and rooms without one are at the top', async () => {
    await open('/');
    await page.getByRole('link', { name: 'Agents' }).first().click();
    await page.getByText('No agent in the last seven days').waitFor();
    expect(await axe(page)).toEqual([]);

    await post(roomwatch, agent('participant_joined', 'voice-1'));
    await row('support').getByText('1 live').waitFor();
    await row('support').getByText('listening').waitFor();
    await post(roomwatch, agent('participant_joined', 'voice-2'));
    await row('support').getByText('2 live').waitFor();
    await post(roomwatch, agent('participant_left', 'voice-2', { disconnectReason: 'AGENT_ERROR' }));
    await row('support').getByText('1 failure in 7 days, 1 in 24 hours').waitFor();
    await row('support').getByText('1 live').waitFor();
    expect(await row('support').locator('dl').innerText()).toContain('2');

    await post(roomwatch, joined('voice-9', 'mara'));
    const missing = page.getByRole('region', { name: 'Rooms without their agent' });
    await missing.getByRole('listitem').filter({ hasText: 'voice-9' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'agents-light');
    await row('support').getByRole('link', { name: 'voice-1' }).click();
    await page.waitForURL(/\/rooms\/voice-1\?/);
  });

  it('fit a phone, and say why they cannot load', async () => {
    await open('/', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await page.getByRole('button', { name: 'More' }).click();
    await page.getByRole('menuitem', { name: 'Agents' }).click();
    await row('support').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'agents-dark-390');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);

    await page.route('**/api/agents*', (route) =>
      route.fulfill({ status: 403, json: { error: { code: 'forbidden', message: 'outside of your rights' } } }),
    );
    await page.goto(`${roomwatch.url}/agents`);
    await page.getByRole('alert').getByText('outside of your rights').waitFor();
  });
});
