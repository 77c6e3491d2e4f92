// Issue 4: the commands of the palette with a real LiveKit, and a whole action with the keyboard only.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Cast, Person } from '../harness/cast.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

let world: World;
let cast: Cast;
let browser: Browser;
let page: Page;
let found: string[];
let alice: Person;

beforeAll(async () => {
  world = await World.start('palette');
  cast = await world.cast();
  browser = await launch();
  alice = await cast.join('standup', 'alice', { name: 'Alice' });
  await alice.publish('microphone');
  await cast.join('standup', 'bob', { name: 'Bob' });
  await cast.join('short-lived', 'carol');
  // The search of the palette reads the history, which is written with a delay.
  await until('everybody to be found', async () => {
    const names = ['alice', 'bob', 'carol'].map((name) => world.roomwatch.get(`/api/search?q=${name}`));
    return (await Promise.all(names)).every(({ results }) => results.some((one: any) => one.live));
  });
});
beforeEach(async () => {
  page = await operatorPage(browser, world.roomwatch);
  page.setDefaultTimeout(30_000);
  found = complaints(page.context());
  await page.goto(world.roomwatch.url);
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
});
afterEach(async () => {
  expect(found).toEqual([]);
  await page.context().close();
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const inLiveKit = async (room: string, identity: string) =>
  (await world.livekit.listParticipants(room)).find((one) => one.identity === identity);

/** Opens the palette, types, and waits for the first offer. */
async function offer(typed: string, option: RegExp): Promise<void> {
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').pressSequentially(typed);
  await selected(option);
}
const selected = (option: RegExp) => page.getByRole('option', { name: option, selected: true }).waitFor();

describe('the palette', () => {
  it('mutes a participant, and then asks for the track', async () => {
    await offer('mute alice', /^Alice/);
    await page.keyboard.press('Enter');
    await selected(/^Open standup/);
    await page.keyboard.type('mute');
    await selected(/^Mute microphone/);
    expect(await axe(page)).toEqual([]);
    await page.keyboard.press('Enter');
    await until('LiveKit to have muted her', async () => (await inLiveKit('standup', 'alice'))?.tracks[0]?.muted);
    await page.getByText("Alice's microphone is muted").waitFor();
  });

  it('unmutes a muted track', async () => {
    await offer('alice', /^Alice/);
    await page.keyboard.press('Tab');
    await selected(/^Open standup/);
    await page.keyboard.type('unmute');
    await selected(/^Unmute microphone/);
    await page.keyboard.press('Enter');
    await until('LiveKit to have unmuted her', async () => !(await inLiveKit('standup', 'alice'))?.tracks[0]?.muted);
  });

  it('removes a participant after a confirmation', async () => {
    await offer('remove bob', /^Remove Bob/);
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Remove Bob?' });
    await dialog.waitFor();
    // An action that cannot be undone does not have the focus: Enter cancels.
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await until('LiveKit to have removed him', async () => !(await inLiveKit('standup', 'bob')));
    expect(await inLiveKit('standup', 'alice')).toBeTruthy();
  });

  it('watches a room', async () => {
    await offer('watch standup', /^Watch standup/);
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/rooms\/standup\?.*view=watch/);
    await page.getByRole('button', { name: 'Start watching' }).click();
    await page.getByText('Hidden', { exact: true }).waitFor();
    await until('LiveKit to have a hidden participant', async () =>
      (await world.livekit.listParticipants('standup')).some((one) => one.permission?.hidden),
    );
    await page.getByRole('button', { name: 'Stop watching' }).click();
    await until('LiveKit to be without it', async () =>
      (await world.livekit.listParticipants('standup')).every((one) => !one.permission?.hidden),
    );
  });

  it('ends a room after a confirmation', async () => {
    await offer('end short', /^End short-lived/);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'End short-lived?' }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await until('LiveKit to have ended it', async () =>
      (await world.livekit.listRooms()).every((room) => room.name !== 'short-lived'),
    );
  });

  it('finds a room by its sid, and an ended session', async () => {
    const { rooms } = await world.roomwatch.get('/api/rooms');
    await offer(rooms[0].sid, new RegExp(`^${rooms[0].name}`));
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').pressSequentially('short-lived');
    await page.getByRole('option', { name: /^short-lived.*ended/ }).click();
    await page.waitForURL(/\/sessions\/RM_/);
    await page.getByRole('heading', { name: 'short-lived', level: 1 }).waitFor();
  });

  it('changes the theme', async () => {
    await offer('theme dark', /^Theme: Dark/);
    await page.keyboard.press('Enter');
    await until('the dark theme', () =>
      page.evaluate(() => getComputedStyle(document.documentElement).colorScheme === 'dark'),
    );
  });
});

it('sends a message to one participant from the overview, with the keyboard only', async () => {
  /** Presses Tab until the element with this name has the focus. */
  const tabTo = (name: RegExp) =>
    until(
      `Tab to reach ${name}`,
      async () => {
        await page.keyboard.press('Tab');
        return page.evaluate((pattern) => {
          const element = document.activeElement;
          const label = element?.getAttribute('aria-label') ?? (element as HTMLInputElement)?.labels?.[0]?.textContent;
          return new RegExp(pattern).test(label ?? element?.textContent ?? '');
        }, name.source);
      },
      { every: 0 },
    );
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await page.getByRole('table', { name: 'Live rooms' }).getByRole('link').first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'standup', level: 1 }).waitFor();
  await page.getByRole('button', { name: 'Actions for Alice' }).waitFor();
  await tabTo(/^Actions for Alice$/);
  await page.keyboard.press('Enter');
  await page.getByRole('menu').waitFor();
  await page.keyboard.press('s');
  await page.locator('[role=menuitem]:focus', { hasText: 'Send data' }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Send data message to Alice' }).waitFor();
  await page.keyboard.type('by keyboard');
  await tabTo(/^Send$/);
  await page.keyboard.press('Enter');
  await page.getByText('Sent to LiveKit').waitFor();
  await until('her to have it', async () => (await alice.data()).includes('by keyboard'));
  // The focus is where it was before, not at the top of the page.
  expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Actions for Alice');
});
