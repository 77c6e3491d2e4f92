// Issue 4: a viewer, and several projects: a real LiveKit for commands, and one that only sends webhooks.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { Cast, type Person } from '../harness/cast.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { API_KEY, API_SECRET, LiveKit } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { freePort, until } from '../harness/wait.js';
import { joined, post, started } from './post.js';

const SOUTH = { key: 'APIsouth', secret: 'REDACT-ME-south-secret-of-more-than-32-bytes' };

let roomwatch: Roomwatch;
let livekit: LiveKit;
let cast: Cast;
let browser: Browser;
let page: Page;
let alice: Person;

beforeAll(async () => {
  const port = await freePort();
  livekit = await LiveKit.start({ name: 'roles-livekit', webhooks: [`http://127.0.0.1:${port}/api/webhooks/livekit`] });
  roomwatch = await Roomwatch.start({
    name: 'roles-roomwatch',
    port,
    config: `${userToml('vera', 'viewer')}${userToml('otto', 'operator')}
[[projects]]
name = "north"
url = "${livekit.url}"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
[[projects]]
name = "south"
keys = [{ key = "${SOUTH.key}", secret = "${SOUTH.secret}" }, { key = "APIsouth2", secret = "REDACT-ME-another" }]
`,
  });
  await roomwatch.login({ user: 'otto' });
  cast = await Cast.start(livekit, 'roles-cast');
  alice = await cast.join('daily', 'alice', { name: 'Alice' });
  await alice.publish('microphone');
  for (const event of [started('daily'), joined('daily', 'sven'), started('only-south')])
    await post(roomwatch, event, SOUTH);
  await until('both rooms', async () => {
    const { rooms } = await roomwatch.get('/api/rooms');
    return rooms.filter((room: any) => room.name === 'daily' && room.participantCount === 1).length === 2;
  });
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await cast?.crash();
  await livekit?.kill();
  await roomwatch?.close();
});

async function open(user: 'vera' | 'otto', path: string): Promise<string[]> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce' });
  page.setDefaultTimeout(30_000);
  const found = complaints(page.context());
  await page.goto(`${roomwatch.url}${path}`);
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
  return found;
}

const tracksOfAlice = async () =>
  (await livekit.listParticipants('daily')).find((one) => one.identity === 'alice')?.tracks ?? [];

describe('a viewer', () => {
  const WHY = 'Needs the operator role. You are a viewer.';

  it('cannot watch with a link: it says why, and has no form', async () => {
    const found = await open('vera', '/rooms/daily?project=north&view=watch');
    await page.getByRole('heading', { name: 'You cannot watch this room' }).waitFor();
    await page.getByText(WHY).first().waitFor();
    expect(await page.getByRole('button', { name: 'Start watching' }).count()).toBe(0);
    expect(await axe(page)).toEqual([]);
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('heading', { name: 'You cannot watch this room' }).waitFor({ state: 'detached' });
    expect(found).toEqual([]);
  });

  it('cannot watch several rooms, and no token is asked for', async () => {
    const rooms = encodeURIComponent(JSON.stringify([{ name: 'daily', project: 'north' }]));
    const found = await open('vera', `/watch?rooms=${rooms}`);
    await page.getByRole('heading', { name: 'You cannot watch rooms' }).waitFor();
    await page.getByText(WHY).waitFor();
    expect(await page.getByRole('button', { name: 'Start watching' }).count()).toBe(0);
    expect(await axe(page)).toEqual([]);
    await page.goto(`${roomwatch.url}/rooms`);
    await page.getByRole('link', { name: 'daily' }).first().waitFor();
    expect(await page.getByRole('link', { name: 'Watch several' }).count()).toBe(0);
    expect(found).toEqual([]);
  });

  it('sees a room, and every action says why it is not allowed', async () => {
    const found = await open('vera', '/rooms/daily?project=north');
    await page.getByRole('button', { name: 'Actions for Alice' }).waitFor();
    for (const name of ['Watch', 'Send data', 'End room']) {
      const button = page.getByRole('button', { name, exact: true });
      expect(await button.getAttribute('aria-disabled'), name).toBe('true');
      await button.focus();
      await page.getByRole('tooltip', { name: WHY }).waitFor();
      // A button with aria-disabled can be clicked, and must do nothing.
      await button.click({ force: true });
      await page.keyboard.press('Escape');
    }
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.getByRole('button', { name: 'Actions for Alice' }).click();
    for (const name of [/^Mute microphone/, /^Send data/, /^Edit/, /^Remove/]) {
      const item = page.getByRole('menuitem', { name });
      expect(await item.getAttribute('aria-disabled'), String(name)).toBe('true');
      expect(await item.textContent()).toContain(WHY);
    }
    // Actions that change nothing are allowed.
    expect(await page.getByRole('menuitem', { name: 'Copy CLI command' }).getAttribute('aria-disabled')).toBeNull();
    expect(await axe(page)).toEqual([]);
    expect(found).toEqual([]);
  });

  it('cannot create a room or send a test event', async () => {
    await open('vera', '/rooms');
    const create = page.getByRole('button', { name: 'Create room' });
    expect(await create.getAttribute('aria-disabled')).toBe('true');
    await create.click({ force: true });
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.goto(`${roomwatch.url}/settings`);
    const test = page.getByRole('button', { name: 'Send a test event' }).first();
    await test.waitFor();
    expect(await test.getAttribute('aria-disabled')).toBe('true');
    expect(await axe(page)).toEqual([]);
  });

  it('finds the commands of the palette with the reason, and none runs', async () => {
    await open('vera', '/');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').fill('end daily');
    const option = page.getByRole('option', { name: /^End daily/ }).first();
    await option.waitFor();
    expect(await option.getAttribute('aria-disabled')).toBe('true');
    expect(await option.textContent()).toContain(WHY);
    await page.keyboard.press('Enter');
    await page.getByRole('combobox').waitFor();
    expect(await page.getByRole('heading', { name: 'End daily?' }).count()).toBe(0);
    expect(await axe(page)).toEqual([]);
  });
});

describe('several projects', () => {
  const rooms = () => page.getByRole('row').filter({ has: page.getByRole('link') });

  it('are distinguished in the list of rooms, and one can be chosen', async () => {
    const found = await open('otto', '/rooms?sort=name');
    await until('three rooms', async () => (await rooms().count()) === 3);
    expect(await rooms().filter({ hasText: 'south' }).count()).toBe(2);
    await page.getByRole('combobox', { name: 'Project' }).selectOption('north');
    await until('one room', async () => (await rooms().count()) === 1);
    expect(new URL(page.url()).searchParams.get('project')).toBe('north');
    expect(found).toEqual([]);
  });

  it('may have rooms with the same name, and the page asks for the project', async () => {
    await open('otto', '/rooms/daily');
    await page.getByRole('heading', { name: 'Which daily?' }).waitFor();
    expect(await axe(page)).toEqual([]);
    await page.getByRole('link', { name: 'south', exact: true }).click();
    await page.getByRole('button', { name: 'Actions for sven' }).waitFor();
    expect(await page.getByRole('button', { name: 'Actions for Alice' }).count()).toBe(0);
  });

  it('send commands each to its own LiveKit', async () => {
    await open('otto', '/rooms/daily?project=north');
    await page.getByRole('button', { name: 'Actions for Alice' }).click();
    await page.getByRole('menuitem', { name: 'Mute microphone' }).click();
    await until('LiveKit to have muted it', async () => (await tracksOfAlice()).some((track: any) => track.muted));
    // South has no URL, so a command there fails with a message.
    await page.goto(`${roomwatch.url}/rooms/only-south?project=south`);
    await page.getByRole('button', { name: 'End room' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'End room' }).click();
    await page.getByText('only-south was not ended').waitFor();
    await page.getByRole('heading', { name: 'only-south', level: 1 }).waitFor();
  });

  it('are named in copied commands', async () => {
    await open('otto', '/rooms/daily?project=north');
    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Copy CLI command' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'curl' }).click();
    await page
      .getByText(/api\/rooms\/daily\?project=north/)
      .first()
      .waitFor();
    expect(await axe(page)).toEqual([]);
  });

  it('filter the events', async () => {
    await open('otto', '/events');
    const row = page.getByRole('listitem');
    await row.filter({ hasText: 'Alice' }).first().waitFor();
    await row.filter({ hasText: 'sven' }).first().waitFor();
    await page.getByRole('combobox', { name: 'Project' }).selectOption('south');
    await until('no event of the north', async () => (await row.filter({ hasText: 'Alice' }).count()) === 0);
    await row.filter({ hasText: 'sven' }).first().waitFor();
  });

  it('have their own settings, each with its keys', async () => {
    await open('otto', '/settings');
    for (const name of ['north', 'south']) await page.getByRole('heading', { name, exact: true }).waitFor();
    for (const summary of await page.getByText('Set up the webhook').all()) await summary.click();
    await page.locator('code', { hasText: `api_key: ${API_KEY}` }).waitFor();
    await page.getByRole('combobox', { name: 'API key' }).selectOption('APIsouth2');
    await page.locator('code', { hasText: 'api_key: APIsouth2' }).waitFor();
    expect(await axe(page)).toEqual([]);
  });

  it('are named in the palette', async () => {
    await open('otto', '/');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').fill('daily');
    for (const name of ['north', 'south'])
      await page
        .getByRole('option', { name: new RegExp(`^daily.*${name}`) })
        .first()
        .waitFor();
    await page
      .getByRole('option', { name: /^daily.*south/ })
      .first()
      .click();
    await page.waitForURL(/project=south/);
    await page.getByRole('button', { name: 'Actions for sven' }).waitFor();
  });
});
