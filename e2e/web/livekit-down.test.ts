// LiveKit does not answer, and Roomwatch does: every page says so, and nothing is called live that is not known to be.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage } from '../harness/dashboard.js';
import { until } from '../harness/wait.js';
import { World } from '../harness/world.js';

let world: World;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  world = await World.start('livekit-down', { env: { ROOMWATCH_RECONCILE_SECS: '2' } });
  const cast = await world.cast();
  await cast.join('standup', 'alice');
  await until('the room', async () => (await world.roomwatch.get('/api/rooms')).rooms.length === 1);
  await until('a comparison', async () => (await world.roomwatch.get('/api/projects')).projects[0].reconciledAt);
  browser = await launch();
  page = await operatorPage(browser, world.roomwatch, { reducedMotion: 'reduce' });
  page.setDefaultTimeout(60_000);
});
afterEach(async () => {
  if (!world.livekit.running) await world.livekit.up();
});
afterAll(async () => {
  await browser?.close();
  await world?.stop();
});

const banner = () => page.getByRole('region', { name: 'LiveKit', exact: true });
const pill = (word: RegExp) => page.getByRole('button', { name: new RegExp(`^Connection:\\s*${word.source}`) });

it('says on every page since when, and nothing more when it is back', async () => {
  await page.goto(`${world.roomwatch.url}/`);
  await page.getByRole('region', { name: 'Live now' }).getByText('live now').waitFor();
  await pill(/Live$/).waitFor();
  expect(await banner().count()).toBe(0);

  await world.livekit.kill();
  await pill(/Live · LiveKit down/).waitFor();
  const said = /^LiveKit has not answered since \d\d:\d\d\. Rooms below are as last reported\.$/;
  expect((await banner().locator('span').first().innerText()).trim()).toMatch(said);
  const totals = page.getByRole('region', { name: 'Last known' });
  await totals
    .getByText(/^as of \d\d:\d\d$/)
    .first()
    .waitFor();
  expect(await totals.getByText('live now').count()).toBe(0);
  expect(await axe(page)).toEqual([]);
  for (const [path, text] of [
    ['/rooms', /1 live room · 1 person, as of \d\d:\d\d/],
    ['/rooms/standup', /^Last reported live, for /],
    ['/sessions', /^Sessions$/],
    ['/events', /^Events$/],
    ['/settings', /^Settings$/],
  ] as const) {
    await page.goto(`${world.roomwatch.url}${path}`);
    await banner()
      .getByText(/has not answered since/)
      .waitFor();
    await page.getByText(text).first().waitFor();
    expect(await axe(page), path).toEqual([]);
  }

  await world.livekit.up();
  await banner().waitFor({ state: 'detached' });
  await pill(/Live$/).waitFor();
});
