// Issue 17: several rooms side by side, as a monitor.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import type { Cast, Person } from '../harness/cast.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

const NAMES = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

let world: World;
let browser: Browser;
let page: Page;
let cast: Cast;
let found: string[];
const people: Person[] = [];
const cleanup: (() => unknown)[] = [];

const address = (names: string[]) =>
  `${world.roomwatch.url}/watch?rooms=${encodeURIComponent(JSON.stringify(names.map((name) => ({ name }))))}`;
const card = (name: string) => page.getByRole('region', { name, exact: true });
const inside = () => page.getByText('Hidden', { exact: true }).count();
const audit = async () => (await world.roomwatch.get('/api/audit?action=room.watch')).entries;

beforeAll(async () => {
  world = await World.start('web-watch-several', {
    yaml: 'room:\n  departure_timeout: 1\n  enable_remote_unmute: true\n',
  });
  cleanup.push(() => world.stop());
  browser = await launch();
  cleanup.push(() => browser.close());
  cast = await world.cast();
  people.push(
    ...(await Promise.all(
      NAMES.map(async (name) => {
        const person = await cast.join(name, `in-${name}`);
        await person.publish('microphone');
        return person;
      }),
    )),
  );
  await people[0]?.publish('camera');
  await cast.join('nine', 'bot', { kind: 'agent' });
  await until('all rooms', async () => (await world.roomwatch.get('/api/rooms')).rooms.length === 9);
  page = await operatorPage(browser, world.roomwatch);
  found = complaints(page.context());
});
afterAll(async () => {
  for (const end of cleanup.reverse()) await end();
});

it('is chosen room by room, and never begins by a link alone', async () => {
  await page.goto(`${world.roomwatch.url}/rooms`);
  await page.getByRole('link', { name: 'Watch several' }).click();
  await page.getByText('Choose up to nine rooms').waitFor();
  await page.getByRole('button', { name: 'Add room' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add room' });
  await dialog.getByLabel('Find a live room').fill('thr');
  await dialog.getByRole('listitem').filter({ hasText: 'three' }).getByRole('button').click();
  await page.getByRole('list', { name: 'Chosen rooms' }).getByText('three').waitFor();
  expect(new URL(page.url()).searchParams.get('rooms')).toBe('[{"name":"three"}]');

  // A tenth room is ignored.
  await page.goto(address(['gone', ...NAMES]));
  await page.getByRole('heading', { name: 'Watch 9 rooms invisibly' }).waitFor();
  await picture(page, 'watch-several-consent');
  expect(await audit()).toEqual([]);
});

it('watches nine rooms at once, one of which does not exist any more, with an audit record for each', async () => {
  await page.goto(address(['gone', ...NAMES.slice(0, 8)]));
  await page.getByRole('button', { name: 'Start watching' }).click();
  await until('eight rooms', async () => (await inside()) === 8);
  await card('gone').getByText('Cannot watch this room').waitFor();
  await card('one').getByLabel('Camera of in-one', { exact: true }).waitFor();
  expect(await card('two').getByRole('button', { name: 'Enlarge in-two' }).count()).toBe(1);
  const entries = await audit();
  expect(entries.map(({ room, outcome }: any) => `${room} ${outcome}`).sort()).toEqual(
    ['gone failed', ...NAMES.slice(0, 8).map((name) => `${name} done`)].sort(),
  );
  await card('gone').getByRole('button', { name: 'Stop watching gone' }).click();
  await page.getByRole('button', { name: 'Add room' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'nine' }).click();
  await until('nine rooms', async () => (await inside()) === 9);
  expect(await page.getByRole('button', { name: 'Add room' }).getAttribute('aria-disabled')).toBe('true');
  expect(await axe(page)).toEqual([]);
  await picture(page, 'watch-several');
});

it('plays the sound of one room at a time', async () => {
  expect(await page.locator('audio').count()).toBe(0);
  await card('one').getByRole('button', { name: 'Sound of one' }).click();
  await card('one').locator('audio').waitFor({ state: 'attached' });
  await card('two').getByRole('button', { name: 'Sound of two' }).click();
  await card('two').locator('audio').waitFor({ state: 'attached' });
  expect(await page.locator('audio').count()).toBe(1);
  await card('one').getByRole('button', { name: 'Sound of one', pressed: false }).waitFor();
});

it('goes on with the other rooms when one ends', async () => {
  await card('two').getByRole('button', { name: 'Moderate in-two' }).waitFor();
  expect((await world.roomwatch.request('DELETE', '/api/rooms/two')).status).toBe(204);
  await card('two').getByText('The room has ended').waitFor();
  expect(await inside()).toBe(8);
  expect(await page.locator('audio').count()).toBe(0);
  await card('two').getByRole('button', { name: 'Watch again' }).click();
  await card('two').getByText('Cannot watch this room').waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  expect(await axe(page)).toEqual([]);
  await picture(page, 'watch-several-phone');
  await page.setViewportSize({ width: 1440, height: 900 });
});

it('leaves rooms in which only watchers are left, also while Roomwatch is away', async () => {
  await page.clock.install();
  await world.roomwatch.kill();
  await Promise.all(people.map((person) => person.leave()));
  await card('one').getByText('No other participants.').waitFor();
  // An agent does not keep a room open.
  await card('nine').getByText('1 participant', { exact: true }).waitFor();
  await page.clock.fastForward(10_000);
  for (const name of ['one', 'nine']) await card(name).getByText('Watching ended: only watchers were left').waitFor();
  await until('the ends of all rooms', async () => (await world.livekit.listRooms()).length === 0);
  expect(await inside()).toBe(0);
});

it('has no errors', () => {
  // LiveKit's client reports an error if its connection ends because its room was deleted.
  expect(found.filter((line) => !/^(DataChannel error|publisher data channel)/.test(line))).toEqual([]);
});
