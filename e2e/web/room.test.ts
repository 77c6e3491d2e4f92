import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Cast, Person } from '../harness/cast.js';
import { axe, complaints, operatorPage } from '../harness/dashboard.js';
import { mint } from '../harness/livekit.js';
import { pause, until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const ROOM = "o'hara / standup?";

let world: World;
let cast: Cast;
let browser: Browser;
let page: Page;
let found: string[];
let alice: Person;
let bob: Person;

beforeAll(async () => {
  world = await World.start('web-room');
  cast = await world.cast();
  browser = await launch();
  alice = await cast.join(ROOM, 'alice');
  await alice.publish('microphone');
  page = await operatorPage(browser, world.roomwatch);
  found = complaints(page.context());
  await page.goto(`${world.roomwatch.url}/rooms`);
  await page.getByRole('link', { name: ROOM }).click();
  await row('alice').waitFor();
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const row = (identity: string) =>
  page.getByRole('listitem').filter({ has: page.getByRole('button', { name: `Actions for ${identity}` }) });

/** Opens the menu of a participant and chooses an item. */
async function choose(identity: string, action: string | RegExp) {
  await page.getByRole('button', { name: `Actions for ${identity}` }).click();
  await page.getByRole('menuitem', { name: action }).click();
}

const inLiveKit = async (identity: string) =>
  (await world.livekit.listParticipants(ROOM)).find((one) => one.identity === identity);

it('shows a participant who joins, without a reload', async () => {
  bob = await cast.join(ROOM, 'bob');
  await row('bob').waitFor();
  await page.getByText('bob joined').waitFor();
});

it('does not highlight participants who were already there', async () => {
  const fresh = await operatorPage(browser, world.roomwatch);
  await fresh.addInitScript(() => {
    (window as any).tinted = 0;
    new MutationObserver(() => {
      (window as any).tinted += document.querySelectorAll('main .row-enter').length;
    }).observe(document, { subtree: true, childList: true, attributes: true });
  });
  // The room is shown before its participants.
  await fresh.route('**/participants*', async (route) => {
    await pause(500);
    await route.continue();
  });
  await fresh.goto(page.url());
  await fresh.getByRole('button', { name: 'Actions for alice' }).waitFor();
  expect(await fresh.evaluate(() => (window as any).tinted)).toBe(0);
  await fresh.context().close();
});

it('mutes a track, shows it at once, and LiveKit agrees', async () => {
  await row('alice').getByTitle('microphone', { exact: true }).waitFor();
  await choose('alice', 'Mute microphone');
  await row('alice').getByTitle('microphone, muted').waitFor();
  await until('LiveKit to have muted it', async () => (await inLiveKit('alice'))?.tracks[0]?.muted);
  // The event does not say who did it: the audit record does.
  await page.getByText('alice’s microphone was muted by operator').waitFor();
});

it('changes an attribute and the name, and LiveKit agrees', async () => {
  await choose('bob', 'Edit');
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Bobby');
  await dialog.getByRole('button', { name: 'Add an attribute' }).click();
  await dialog.getByLabel('Attribute', { exact: true }).fill('role');
  await dialog.getByLabel('Value of role').fill('host');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'hidden' });
  await row('Bobby').waitFor();
  await until('LiveKit to know', async () => {
    const one = await inLiveKit('bob');
    return one?.name === 'Bobby' && one?.attributes?.role === 'host';
  });
});

it('removes an attribute and a permission, and keeps the others', async () => {
  await choose('Bobby', 'Edit');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Remove role' }).click();
  await dialog.getByRole('checkbox', { name: 'publish tracks' }).uncheck();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'hidden' });
  await until('LiveKit to know', async () => {
    const one = await inLiveKit('bob');
    return (
      one?.permission?.can_publish === false &&
      one?.permission?.can_subscribe === true &&
      one?.attributes?.role === undefined
    );
  });
  await row('Bobby').getByRole('button', { expanded: false }).first().click();
  await page.getByText('Cannot publish').waitFor();
  await row('Bobby').getByRole('button', { expanded: true }).first().click();
});

it('unmutes a muted track', async () => {
  await choose('alice', 'Unmute microphone');
  await row('alice').getByTitle('microphone', { exact: true }).waitFor();
  await until('LiveKit to have unmuted it', async () => !(await inLiveKit('alice'))?.tracks[0]?.muted);
});

it('sends data to one participant only', async () => {
  await choose('alice', 'Send data');
  const dialog = page.getByRole('dialog', { name: 'Send data message to alice' });
  await dialog.getByLabel('Text').fill('only for alice');
  await dialog.getByLabel('Topic').fill('chat');
  await dialog.getByRole('button', { name: 'Send', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await until('her to have it', async () => (await alice.data()).includes('only for alice'));
  expect(await bob.data()).not.toContain('only for alice');
});

it('shows commands for a terminal that work', async () => {
  const token = await mint({ roomAdmin: true, room: ROOM }, 'terminal');
  /** Runs the commands of the dialog in a shell. */
  const run = async (label: string) => {
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'curl', exact: true }).click();
    await dialog.getByRole('button', { name: `Copy: ${label}` }).click();
    await dialog.getByRole('button', { name: 'Copied' }).waitFor();
    const command = await page.evaluate(() => navigator.clipboard.readText());
    const { stdout } = await promisify(execFile)('sh', ['-c', `${command} -sS --fail-with-body`], {
      env: { ...process.env, ROOMWATCH_TOKEN: token },
    });
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    return stdout;
  };
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const ofRoom = async () => {
    await page.getByRole('button', { name: 'More actions' }).click();
    await page.getByRole('menuitem', { name: 'Copy CLI command' }).click();
  };
  await ofRoom();
  await page.getByText(`lk room participants list`).waitFor();
  expect(JSON.parse(await run('List participants')).participants.length).toBe(2);
  await ofRoom();
  await run('Send data');
  await until('both to have it', async () => (await bob.data()).includes('{"hello":"world"}'));
  await ofRoom();
  await run('Set metadata');
  await until('LiveKit to know', async () => (await world.livekit.listRooms())[0]?.metadata === '{}');
  await choose('alice', 'Copy CLI command');
  await run('Mute microphone');
  await until('LiveKit to have muted it', async () => (await inLiveKit('alice'))?.tracks[0]?.muted);
  await choose('alice', 'Copy CLI command');
  await run('Set metadata');
  await until('LiveKit to know', async () => (await inLiveKit('alice'))?.metadata === '{}');
});

it('sends data to all participants', async () => {
  await page.getByRole('button', { name: 'Send data' }).click();
  await page.getByRole('dialog').getByLabel('Text').fill('{"hello":"all"}');
  await page.getByRole('dialog').getByRole('button', { name: 'Send' }).click();
  await until(
    'both to have it',
    async () => (await alice.data()).includes('{"hello":"all"}') && (await bob.data()).includes('{"hello":"all"}'),
  );
});

it('changes the metadata of the room', async () => {
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Edit metadata' }).click();
  await page.getByRole('dialog').getByLabel('Metadata').fill('{"tenant":"acme"}');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await until('LiveKit to know', async () => (await world.livekit.listRooms())[0]?.metadata === '{"tenant":"acme"}');
  await page.getByText('"tenant": "acme"').waitFor();
});

it('passes axe while menus and dialogs are open', async () => {
  await page.getByRole('button', { name: 'Actions for alice' }).click();
  await page.getByRole('menu').waitFor();
  expect(await axe(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await row('alice').getByRole('button', { expanded: false }).first().click();
  await page.getByText('Can publish').first().waitFor();
  expect(await axe(page)).toEqual([]);
  await page.getByRole('button', { name: 'Send data' }).click();
  await page.getByRole('dialog').waitFor();
  expect(await axe(page)).toEqual([]);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
});

it('removes a participant only after a confirmation', async () => {
  await choose('Bobby', 'Remove');
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  expect(await inLiveKit('bob')).toBeTruthy();
  await choose('Bobby', 'Remove');
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await row('Bobby').waitFor({ state: 'detached' });
  await until('LiveKit to have removed bob', async () => !(await inLiveKit('bob')));
});

it('ends the room, and shows the session that has ended', async () => {
  await page.getByRole('button', { name: 'End room' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End room' }).click();
  await page.getByText('Not live.').waitFor();
  await until('LiveKit to have ended it', async () => (await world.livekit.listRooms()).length === 0);
  await page.getByText(/^Ended/).waitFor();
  await page.getByRole('link', { name: 'Open timeline' }).waitFor();
});

it('shows the next session when it begins', async () => {
  await cast.join(ROOM, 'carol');
  await row('carol').waitFor();
});

it('has no exceptions, and no violations of the content security policy', () => expect(found).toEqual([]));
