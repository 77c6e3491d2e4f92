// The Recordings page: egress with its reason and its output, live.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import type { Roomwatch } from '../harness/roomwatch.js';
import { post, started, startWithoutLiveKit } from './post.js';

let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  roomwatch = await startWithoutLiveKit('recordings');
  browser = await launch();
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

const nanos = (secondsAgo: number) => `${Date.now() - secondsAgo * 1_000}000000`;
const egress = (id: string, room: string, status: string, more: object) => ({
  event: status === 'EGRESS_ACTIVE' ? 'egress_updated' : 'egress_ended',
  egressInfo: {
    egressId: id,
    roomId: `RM_${room}`,
    roomName: room,
    status,
    startedAt: nanos(120),
    updatedAt: nanos(0),
    ...more,
  },
});
const recording = (name: string) => ({ roomComposite: { fileOutputs: [{ filepath: `${name}.mp4` }] } });
const rows = () => page.getByRole('list', { name: 'Egress' }).locator(':scope > li');
const row = (text: string) => rows().filter({ hasText: text });

async function open(path = '/recordings', options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user: 'victor', reducedMotion: 'reduce', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

describe('recordings and streams', () => {
  it('says that there are none, and then shows each as it comes', async () => {
    await open('/');
    await page.getByRole('link', { name: 'Recordings' }).first().click();
    await page.getByRole('heading', { name: 'Recordings & streams', level: 1 }).waitFor();
    await page.getByText('No recordings yet').waitFor();
    expect(await axe(page)).toEqual([]);

    await post(roomwatch, started('standup'));
    await post(roomwatch, egress('EG_1', 'standup', 'EGRESS_ACTIVE', recording('standup')));
    await row('Recording of standup').getByText('active').waitFor();
    await row('Recording of standup').getByText('standup.mp4').waitFor();
    await post(
      roomwatch,
      egress('EG_1', 'standup', 'EGRESS_FAILED', {
        ...recording('standup'),
        endedAt: nanos(0),
        error: 'S3 answered 403 Forbidden',
      }),
    );
    await row('Recording of standup').getByText('S3 answered 403 Forbidden').waitFor();
    await row('Recording of standup').getByText('failed', { exact: true }).waitFor();
  });

  it('filters by status with failures first, and by room', async () => {
    await post(
      roomwatch,
      egress('EG_2', 'townhall', 'EGRESS_ACTIVE', {
        web: {},
        streamResults: [{ url: 'rtmp://a.rtmp.youtube.com/live2/SECRET' }],
      }),
    );
    await post(
      roomwatch,
      egress('EG_3', 'retro', 'EGRESS_COMPLETE', {
        ...recording('retro'),
        endedAt: nanos(0),
        details: 'End reason: StopEgress API',
        fileResults: [
          {
            filename: 'retro.mp4',
            size: '18874368',
            duration: '60000000000',
            location: 'https://rec.example.com/retro.mp4?X-Amz-Signature=SECRET',
          },
        ],
      }),
    );
    await post(roomwatch, {
      event: 'egress_ended',
      egressInfo: { roomId: 'RM_x', roomName: 'x', status: 'EGRESS_FAILED', error: 'no response from servers' },
    });
    await open();
    await row('Stream of townhall').getByText('rtmp://a.rtmp.youtube.com/live2/***').waitFor();
    await row('Recording of retro').getByText('https://rec.example.com/retro.mp4?***').waitFor();
    await row('Recording of retro').getByText('19 MB').waitFor();
    await row('Egress of x').getByText('no response from servers').waitFor();
    expect(await page.content()).not.toContain('SECRET');
    const chips = page.getByRole('group', { name: 'Status' }).getByRole('button');
    expect(await chips.allTextContents()).toEqual(['All trouble2', 'Failed2', 'Active1', 'Complete1']);
    expect(await axe(page)).toEqual([]);
    await picture(page, 'recordings-light');

    await chips.filter({ hasText: 'All trouble' }).click();
    await page.waitForURL(/status=trouble/);
    await page.getByText('2 entries shown').waitFor();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('ret');
    await page.getByText('1 entry shown').waitFor();
    await row('retro').getByRole('link', { name: 'retro' }).click();
    await page.waitForURL(/\/sessions\/RM_retro\?/);
  });

  it('is reached by keyboard, by the palette and on a phone', async () => {
    await open('/settings');
    await page.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('m');
    await page.getByRole('heading', { name: 'Recordings & streams' }).waitFor();
    await page.keyboard.press('Control+k');
    await page.keyboard.type('egress');
    await page.getByRole('option', { name: /Recordings/ }).waitFor();
    await page.context().close();

    await open('/', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' });
    await page.getByRole('button', { name: 'More' }).click();
    await page.getByRole('menuitem', { name: 'Recordings' }).click();
    await row('Recording of standup').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'recordings-dark-390');
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
  });

  it('says why it cannot load', async () => {
    page = await operatorPage(browser, roomwatch, { user: 'victor', reducedMotion: 'reduce' });
    await page.route('**/api/egress*', (route) =>
      route.fulfill({ status: 400, json: { error: { code: 'too_much', message: 'choose a shorter time' } } }),
    );
    await page.goto(`${roomwatch.url}/recordings`);
    await page.getByRole('alert').getByText('choose a shorter time').waitFor();
    await page.unroute('**/api/egress*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await row('Recording of standup').waitFor();
  });
});
