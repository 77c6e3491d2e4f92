// Agent dispatches of a room, with a real LiveKit: create, list, delete.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const ROOM = "o'hara / voice?";
const PATH = `/api/rooms/${encodeURIComponent(ROOM)}/dispatches`;

let world: World;
let browser: Browser;
let page: Page;
let found: string[];

beforeAll(async () => {
  world = await World.start('web-dispatches');
  const cast = await world.cast();
  browser = await launch();
  await cast.join(ROOM, 'alice');
  page = await operatorPage(browser, world.roomwatch);
  found = complaints(page.context());
  await page.goto(`${world.roomwatch.url}/rooms`);
  await page.getByRole('link', { name: ROOM }).click();
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

/** Names of the agents that LiveKit has dispatches for in the room. */
async function inLiveKit(): Promise<string[]> {
  const grant = { roomAdmin: true, room: ROOM };
  const answer = await world.livekit.twirp('AgentDispatchService/ListDispatch', { room: ROOM }, grant);
  return answer.json.agent_dispatches.map((one: any) => one.agent_name).filter((name: string) => name !== '');
}

const panel = () => page.getByRole('region', { name: 'Agent dispatches' });

it('an operator dispatches an agent, and LiveKit has the dispatch', async () => {
  await page.getByRole('button', { name: 'Actions for alice' }).waitFor();
  // LiveKit gives every room a dispatch without a name. It is not shown.
  expect(await panel().count()).toBe(0);
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Dispatch an agent' }).click();
  expect(await axe(page)).toEqual([]);
  await page.getByLabel('Agent name').fill('support');
  await page.getByLabel('Metadata').fill('{"lang":"de"}');
  await page.getByRole('button', { name: 'Dispatch', exact: true }).click();
  await panel().getByText('support').waitFor();
  await panel().getByText('no worker has taken it').waitFor();
  expect(await inLiveKit()).toEqual(['support']);
  expect(await axe(page)).toEqual([]);
  await picture(page, 'dispatches');
});

it('deletes it after a question, and the record has both', async () => {
  await panel().getByRole('button', { name: 'Delete the dispatch of support' }).click();
  await page.getByText('No agent works for it now.').waitFor();
  await page.getByRole('button', { name: 'Delete dispatch' }).click();
  await panel().waitFor({ state: 'detached' });
  expect(await inLiveKit()).toEqual([]);
  const { entries } = await world.roomwatch.get('/api/audit');
  const about = entries.map((one: any) => `${one.action} ${one.target.split('/')[0].slice(0, 7)} ${one.outcome}`);
  expect(about.reverse()).toEqual([
    'dispatch.create support done',
    expect.stringMatching(/^dispatch\.delete AD_.{4} done$/),
  ]);
  await page.goto(`${world.roomwatch.url}/audit`);
  await page.getByText('dispatched the agent').waitFor();
  await page.getByText('support', { exact: true }).waitFor();
});

it('a room that is not live is not created, and an unknown dispatch is said to be unknown', async () => {
  const gone = '/api/rooms/nowhere/dispatches';
  const created = await world.roomwatch.request('POST', gone, { agentName: 'support' });
  expect([created.status, created.json.error.code]).toEqual([404, 'room_not_live']);
  const listed = await world.roomwatch.request('GET', gone);
  expect([listed.status, listed.json.error.code]).toEqual([404, 'room_not_live']);
  const deleted = await world.roomwatch.request('DELETE', `${gone}/AD_1`);
  expect([deleted.status, deleted.json.error.code]).toEqual([404, 'room_not_live']);
  const unknown = await world.roomwatch.request('DELETE', `${PATH}/AD_none`);
  expect([unknown.status, unknown.json.error.code]).toEqual([404, 'dispatch_not_found']);
  expect((await world.livekit.listRooms()).map(({ name }) => name)).toEqual([ROOM]);
  expect(found).toEqual([]);
});

it('a room that ends takes its dispatches with it', async () => {
  await world.roomwatch.request('POST', PATH, { agentName: 'scribe' });
  await world.livekit.deleteRoom(ROOM);
  await until('the room to be gone', async () => (await world.roomwatch.request('GET', PATH)).status === 404);
});
