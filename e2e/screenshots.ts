// Takes pictures of every page: light and dark, wide and narrow, and in each state. They are in
// e2e/.artifacts/screenshots, which git ignores. Pictures with the same name in docs/screenshots are replaced: git has only
// the pictures that the docs show.
// `npm run screenshots --workspace e2e`, after `make release`, with E2E_ROOMWATCH_BIN=target/release/roomwatch.
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { launch } from './harness/browser.js';
import { Child } from './harness/child.js';
import { operatorPage } from './harness/dashboard.js';
import { Roomwatch, roomwatchBinary, userToml } from './harness/roomwatch.js';
import { simulate } from './harness/simulate.js';
import { freePort, until } from './harness/wait.js';
import { joined, post, started } from './web/post.js';

const OUT = join(import.meta.dirname, '.artifacts', 'screenshots');
const IN_DOCS = join(import.meta.dirname, '..', 'docs', 'screenshots');
const WIDE = { width: 1440, height: 900 };
const NARROW = { width: 390, height: 844 };

interface Look {
  colorScheme: 'light' | 'dark';
  viewport: typeof WIDE;
}
/** Every page is taken in all four looks, and each of its states in two, with both themes and both sizes. */
const PAGE: Look[] = [
  { colorScheme: 'light', viewport: WIDE },
  { colorScheme: 'dark', viewport: WIDE },
  { colorScheme: 'light', viewport: NARROW },
  { colorScheme: 'dark', viewport: NARROW },
];
const STATE: Look[] = [
  { colorScheme: 'light', viewport: WIDE },
  { colorScheme: 'dark', viewport: NARROW },
];

const ROOMS_MANY = 10_000;

/** The path of a page, and the text that shows that it is complete. */
type Shown = (page: Page) => Promise<unknown>;

/** Waits until the page has its data, without skeletons and pending charts. */
const loaded: Shown = async (page) => {
  await page.getByRole('heading', { level: 1 }).first().waitFor();
  await page.waitForFunction(() => !document.querySelector('.skeleton'));
  await page.waitForLoadState('networkidle', { timeout: 2_000 }).catch(() => undefined);
};

/** Takes a picture after all animations have ended. */
async function keep(page: Page, name: string) {
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .filter((one) => one.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY)
        .map((one) => one.finished.catch(() => undefined)),
    ),
  );
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path: join(OUT, `${name}.png`) });
}

/** Opens a page in each of the looks, and takes a picture after `shown`. */
async function shoot(name: string, looks: Look[], open: (look: Look) => Promise<Page>, url: string, shown: Shown) {
  for (const look of looks) {
    const page = await open(look);
    page.setDefaultTimeout(60_000);
    await page.goto(url);
    await shown(page);
    await keep(page, `${name}-${look.colorScheme}-${look.viewport.width}`);
    await page.context().close();
    console.log(`${name} ${look.colorScheme} ${look.viewport.width}`);
  }
}

/** Takes pictures of a page that gets no answers. */
const loading: Shown = async (page) => {
  await page.route('**/api/**', async (route) => {
    if (route.request().url().endsWith('/api/me')) await route.continue();
  });
  await page.reload({ waitUntil: 'domcontentloaded' });
  await page.locator('.skeleton').first().waitFor();
};

/** The demo, as `make run` shows it, after some minutes. */
async function busy(browser: Browser) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const demo = new Child('screenshots-demo', roomwatchBinary(), [
    'demo',
    '--rate',
    '8',
    '--listen',
    `127.0.0.1:${port}`,
  ]);
  const stranger = (look: Look) => browser.newContext({ ...look, reducedMotion: 'reduce' }).then((it) => it.newPage());
  const get = async (path: string): Promise<any> => (await fetch(url + path)).json();
  try {
    await until('the demonstration', async () => (await fetch(`${url}/readyz`)).ok);
    const { room, session } = await until(
      'a room that is recorded, and a meeting that is over',
      async () => {
        const { rooms } = (await get('/api/rooms')) as { rooms: any[] };
        const { sessions } = (await get('/api/sessions?limit=200')) as { sessions: any[] };
        const room = rooms.find((one) => one.recording && one.participantCount > 3);
        const session = sessions.find((one) => one.endedAt !== null && one.participantCount > 2);
        return room && session && { room, session };
      },
      { within: 600_000, every: 500 },
    );
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['room', `/rooms/${encodeURIComponent(room.name)}`],
      ['sessions', '/sessions'],
      ['session', `/sessions/${session.sid}`],
      ['events', '/events'],
      ['settings', '/settings'],
    ] as const)
      await shoot(name, PAGE, stranger, url + path, loaded);

    await shoot('room-participant', STATE, stranger, `${url}/rooms/${encodeURIComponent(room.name)}`, async (page) => {
      await loaded(page);
      await page.getByRole('main').getByRole('listitem').getByRole('button', { expanded: false }).first().click();
    });
    await shoot('event-opened', STATE, stranger, `${url}/events?type=participant_*`, async (page) => {
      await loaded(page);
      await page.getByRole('listitem').getByRole('button').nth(2).click();
    });
    await shoot('palette', STATE, stranger, url, async (page) => {
      await loaded(page);
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox').fill('an');
      await page.getByRole('group', { name: 'Live participants' }).waitFor();
    });
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['events', '/events'],
    ] as const)
      await shoot(`${name}-loading`, STATE, stranger, url + path, loading);

    // The server stops while each page is open.
    const pages = new Map<string, Page>();
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['events', '/events'],
    ] as const)
      for (const look of STATE) {
        const page = await stranger(look);
        page.setDefaultTimeout(120_000);
        await page.goto(url + path);
        await loaded(page);
        pages.set(`${name}-disconnected-${look.colorScheme}-${look.viewport.width}`, page);
      }
    await demo.stop('SIGKILL');
    for (const [name, page] of pages) {
      await page.getByRole('button', { name: /^Connection:\s*Stale/ }).waitFor();
      await keep(page, name);
    }
  } finally {
    await demo.stop('SIGKILL');
  }
}

/** A room with a phone call and an agent, and one that has ended: those of the demo begin again too soon. */
async function told(browser: Browser) {
  const roomwatch = await Roomwatch.start({ name: 'screenshots-told', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  const load = simulate(roomwatch, { rooms: 1, participants: 4, rate: 3, seconds: 600 });
  const operator = (look: Look) => operatorPage(browser, roomwatch, { ...look, reducedMotion: 'reduce' });
  const came = (identity: string, more: object) => {
    const event = joined('support-4821', identity);
    return post(roomwatch, { ...event, participant: { ...event.participant, ...more } });
  };
  try {
    const { sid, name } = await until(
      'a meeting with a story',
      async () => {
        const { sessions } = (await roomwatch.get('/api/sessions')) as { sessions: any[] };
        return sessions.find((one) => one.participantCount > 4);
      },
      { within: 120_000, every: 500 },
    ).then((one) => ({ sid: one.sid as string, name: one.room as string }));
    await load.stop('SIGKILL');
    await post(roomwatch, { event: 'room_finished', room: { sid, name } });
    await until('the end', async () => (await roomwatch.get(`/api/sessions/${sid}`)).session.endedAt !== null);
    await shoot('room-ended', STATE, operator, `${roomwatch.url}/rooms/${encodeURIComponent(name)}?sid=${sid}`, loaded);

    await post(roomwatch, started('support-4821'));
    await came('priya', { name: 'Priya' });
    await came('sip_+49301234567', {
      name: 'Phone +49301234567',
      kind: 'SIP',
      attributes: {
        'sip.phoneNumber': '+49301234567',
        'sip.trunkPhoneNumber': '+49305550100',
        'sip.trunkID': 'ST_nVqf2QWcM4qT',
        'sip.callID': 'SCL_yD7bPq9wXh2k',
        'sip.callStatus': 'active',
      },
    });
    await came('agent-AJ_3MhzBe9mjP78', { name: 'Assistant', kind: 'AGENT' });
    for (const identity of ['priya', 'sip_+49301234567', 'agent-AJ_3MhzBe9mjP78'])
      await post(roomwatch, {
        event: 'track_published',
        room: { sid: 'RM_support-4821', name: 'support-4821' },
        participant: { sid: `PA_support-4821_${identity}`, identity },
        track: { sid: `TR_${identity}`, source: 'MICROPHONE', mimeType: 'audio/opus' },
      });
    await shoot('room-call', STATE, operator, `${roomwatch.url}/rooms/support-4821`, loaded);
  } finally {
    await load.stop('SIGKILL');
    await roomwatch.close();
  }
}

/** A new installation without any event. */
async function empty(browser: Browser) {
  const roomwatch = await Roomwatch.start({ name: 'screenshots-empty', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  const operator = (look: Look) => operatorPage(browser, roomwatch, { ...look, reducedMotion: 'reduce' });
  try {
    for (const [name, path] of [
      ['overview', '/'],
      ['rooms', '/rooms'],
      ['sessions', '/sessions'],
      ['events', '/events'],
      ['settings', '/settings'],
    ] as const)
      await shoot(`${name}-empty`, STATE, operator, roomwatch.url + path, loaded);
    const stranger = (look: Look) => browser.newContext(look).then((it) => it.newPage());
    await shoot('sign-in', PAGE, stranger, roomwatch.url, (page) =>
      page.getByLabel('Password', { exact: true }).waitFor(),
    );
  } finally {
    await roomwatch.close();
  }
}

/** The number of rooms for which the table is designed. */
async function many(browser: Browser) {
  const roomwatch = await Roomwatch.start({ name: 'screenshots-many', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  const load = simulate(roomwatch, { rooms: ROOMS_MANY, participants: 1, rate: 50, seconds: 1_000 });
  const operator = (look: Look) => operatorPage(browser, roomwatch, { ...look, reducedMotion: 'reduce' });
  try {
    await until('ten thousand rooms', async () => (await roomwatch.get('/api/rooms')).rooms.length >= ROOMS_MANY, {
      within: 600_000,
      every: 1_000,
    });
    await load.stop('SIGTERM');
    await shoot('rooms-10000', PAGE, operator, `${roomwatch.url}/rooms?sort=name`, loaded);
  } finally {
    await load.stop('SIGKILL');
    await roomwatch.close();
  }
}

/** The pages of a viewer, who may see everything and do nothing. */
async function forbidden(browser: Browser) {
  const config = `${userToml('vera', 'viewer')}
[[projects]]
name = "default"
keys = [{ key = "APIe2eroomwatch", secret = "REDACT-ME-e2e-secret-of-more-than-32-bytes" }]
`;
  const roomwatch = await Roomwatch.start({ name: 'screenshots-forbidden', config });
  const load = simulate(roomwatch, { rooms: 3, participants: 5, rate: 5, seconds: 600 });
  const viewer = (look: Look) => operatorPage(browser, roomwatch, { ...look, user: 'vera', reducedMotion: 'reduce' });
  try {
    await roomwatch.login({ user: 'vera' });
    const room = await until('people in a room', async () =>
      (await roomwatch.get('/api/rooms')).rooms.find((one: any) => one.participantCount > 3),
    );
    await shoot(
      'room-forbidden',
      STATE,
      viewer,
      `${roomwatch.url}/rooms/${encodeURIComponent(room.name)}`,
      async (page) => {
        await loaded(page);
        await page
          .getByRole('button', { name: /^Actions for/ })
          .first()
          .click();
        await page.getByRole('menu').waitFor();
      },
    );
  } finally {
    await load.stop('SIGKILL');
    await roomwatch.close();
  }
}

const parts = { busy, told, empty, many, forbidden };
const asked = process.argv.slice(2);
if (asked.length === 0) rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });
const browser = await launch();
try {
  for (const [name, part] of Object.entries(parts)) if (asked.length === 0 || asked.includes(name)) await part(browser);
} finally {
  await browser.close();
}
for (const name of readdirSync(IN_DOCS))
  if (existsSync(join(OUT, name))) copyFileSync(join(OUT, name), join(IN_DOCS, name));
