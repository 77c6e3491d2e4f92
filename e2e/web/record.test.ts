// Recordings and streams are started and stopped with presets: on the room page and on the page Recordings. The egress of
// LiveKit is a double; a real LiveKit without Redis refuses.
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { EgressDouble } from '../harness/egress.js';
import { API_KEY, API_SECRET, LiveKit } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';
import { joined, post, room, started } from './post.js';

const PRESETS = `
[[egress_presets]]
name = "archive"
kind = "room_composite"
description = "MP4 of the whole room, kept for 90 days"
request = { layout = "speaker", file_outputs = [{ filepath = "secret-path/{room_name}" }] }
[[egress_presets]]
name = "voice"
kind = "track"
request = { file = { filepath = "secret-path/{track_id}" } }
[[egress_presets]]
name = "slides"
kind = "web"
allowed_origins = ["https://slides.example.com"]
request = { file_outputs = [{ filepath = "secret-path/web" }] }
`;

const config = (url: string, more: string) => `
[[projects]]
name = "production"
url = "${url}"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
${PRESETS}${more}`;

let double: EgressDouble;
let roomwatch: Roomwatch;
let browser: Browser;
let page: Page;
let found: string[];

beforeAll(async () => {
  double = await EgressDouble.start();
  roomwatch = await Roomwatch.start({
    name: 'record',
    // The rooms are those of the test's webhooks.
    env: { ROOMWATCH_RECONCILE_SECS: '0' },
    config: config(double.url, userToml('otto', 'operator') + userToml('victor', 'viewer')),
  });
  await roomwatch.login({ user: 'otto' });
  browser = await launch();
  await post(roomwatch, started('standup'));
  await post(roomwatch, joined('standup', 'ann'));
  const track = { sid: 'TR_ann', type: 'AUDIO', source: 'MICROPHONE' };
  const of = { sid: 'PA_standup_ann', identity: 'ann' };
  await post(roomwatch, { event: 'track_published', room: room('standup'), participant: of, track });
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
  double?.stop();
});

async function open(path: string, user = 'otto', options: Parameters<Browser['newContext']>[0] = {}): Promise<void> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce', ...options });
  found = complaints(page.context());
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
}

async function openDialog(): Promise<void> {
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Record or stream' }).click();
  await page.getByRole('heading', { name: 'Record or stream standup' }).waitFor();
}

/** The status of a recording. Lanes of the timeline have the same words. */
const status = (word: string) => page.getByRole('listitem').getByText(word, { exact: true }).first();
const start = (name = 'Start') => page.getByRole('dialog').getByRole('button', { name, exact: true });

describe('an operator', () => {
  it('records a room, and stops it', async () => {
    await open('/rooms/standup');
    await openDialog();
    await page.getByText('MP4 of the whole room, kept for 90 days').waitFor();
    expect(await page.getByText('slides').count()).toBe(0);
    expect(await axe(page)).toEqual([]);
    await picture(page, 'record-dialog');
    await start().click();
    await page.getByText('LiveKit starts archive').waitFor();
    expect(double.requests[0]?.[1]).toMatchObject({ room_name: 'standup', layout: 'speaker' });
    await post(roomwatch, double.moves('EG_1', 'EGRESS_STARTING'));
    await post(roomwatch, double.moves('EG_1', 'EGRESS_ACTIVE'));
    await status('active').waitFor();

    // The same again is a question.
    await openDialog();
    await start().click();
    await page.getByRole('alert').getByText('EG_1 of the same is running').waitFor();
    await start('Start another one').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(double.requests.length).toBe(2);
    await post(roomwatch, double.moves('EG_2', 'EGRESS_ABORTED'));

    await page.getByRole('button', { name: 'Stop the recording of standup' }).click();
    await page.getByText('A stopped recording cannot be continued').waitFor();
    await page.getByRole('button', { name: 'Stop recording' }).click();
    await page.getByText('LiveKit stops the recording of standup').waitFor();
    expect(double.egress[0]?.status).toBe('EGRESS_ENDING');
    await picture(page, 'record-room');
    await post(roomwatch, double.moves('EG_1', 'EGRESS_ENDING'));
    await status('ending').waitFor();
    expect(await page.getByRole('button', { name: 'Stop the recording of standup' }).count()).toBe(0);
    await post(roomwatch, double.moves('EG_1', 'EGRESS_COMPLETE'));
    await status('complete').waitFor();
    expect(found.filter((line) => !line.includes('409'))).toEqual([]);
  });

  it('records a track, and is told if no egress service runs', async () => {
    await open('/rooms/standup');
    await openDialog();
    await page.getByRole('radio', { name: /voice/ }).click();
    await page.getByLabel('Track to record').selectOption('TR_ann');
    double.absent = true;
    await start().click();
    await page.getByRole('alert').getByText('no egress service took the request').waitFor();
    double.absent = false;
    await start().click();
    await page.getByText('LiveKit starts voice').waitFor();
    const request = double.requests.at(-1);
    expect([request?.[0], request?.[1].track_id]).toEqual(['track', 'TR_ann']);
  });

  it('records a page of an allowed origin, and stops it on the page Recordings', async () => {
    await open('/recordings', 'otto', { viewport: { width: 390, height: 844 } });
    await page.getByRole('button', { name: 'Record a page' }).click();
    await page.getByLabel('Address of the page').fill('https://slides.example.com.evil.example/');
    await start().click();
    await page.getByRole('alert').getByText('these origins only: https://slides.example.com').waitFor();
    expect(double.requests.at(-1)?.[0]).not.toBe('web');
    await page.getByLabel('Address of the page').fill('https://slides.example.com/deck');
    expect(await axe(page)).toEqual([]);
    await picture(page, 'record-page-390');
    await start().click();
    await page.getByText('LiveKit starts slides').waitFor();
    expect(double.requests.at(-1)).toMatchObject(['web', { url: 'https://slides.example.com/deck' }]);
    const id = double.egress.at(-1)?.egress_id;
    await post(roomwatch, double.moves(id, 'EGRESS_ACTIVE'));
    await page.getByRole('button', { name: 'Stop this recording' }).click();
    await page.getByRole('button', { name: 'Stop recording' }).click();
    await page.getByText('LiveKit stops this recording').waitFor();
    expect(double.egress.at(-1)?.status).toBe('EGRESS_ENDING');
    // It has ended: LiveKit says so.
    await post(roomwatch, double.moves(id, 'EGRESS_COMPLETE'));
    const again = await roomwatch.request('DELETE', `/api/egress/${id}`);
    expect([again.status, again.json.error.code]).toEqual([409, 'livekit_refused']);
  });

  it('sees ingress without its key', async () => {
    double.ingress = [
      {
        ingress_id: 'IN_1',
        name: 'stage camera',
        input_type: 'RTMP_INPUT',
        stream_key: 'SECRET',
        url: 'rtmp://x/SECRET',
        room_name: 'standup',
        participant_identity: 'camera',
        state: { status: 'ENDPOINT_PUBLISHING' },
      },
    ];
    // Reconciliation is off, so nothing has asked LiveKit whether it has ingress.
    await open('/');
    const { json } = await roomwatch.request('GET', '/api/ingress');
    expect(json.ingress).toHaveLength(1);
    expect(JSON.stringify(json)).not.toContain('SECRET');
    await page.route('**/api/projects*', async (route) => {
      const answer = await route.fetch();
      const body = await answer.json();
      body.projects[0].ingress = 'ok';
      await route.fulfill({ response: answer, json: body });
    });
    await page.goto(`${roomwatch.url}/recordings`);
    const panel = page.getByRole('region', { name: 'Ingress' });
    await panel.getByText('stage camera').waitFor();
    await panel.getByText('publishing').waitFor();
    expect(await axe(page)).toEqual([]);
    await picture(page, 'record-ingress');
  });
});

it('a viewer is offered nothing', async () => {
  const id = double.egress.length + 1;
  const { json } = await roomwatch.request('POST', '/api/egress', { preset: 'archive', room: 'standup' });
  expect(json.status).toBe('starting');
  await post(roomwatch, double.moves(`EG_${id}`, 'EGRESS_ACTIVE'));
  await open('/recordings', 'victor');
  await page.getByText('Recording', { exact: true }).first().waitFor();
  expect(await page.getByRole('button', { name: /^Stop/ }).count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Record a page' }).count()).toBe(0);
  await page.goto(`${roomwatch.url}/rooms/standup`);
  await status('active').waitFor();
  await page.getByRole('button', { name: 'More actions' }).click();
  expect(await page.getByRole('menuitem', { name: 'Record or stream' }).count()).toBe(0);
  expect(await page.getByRole('button', { name: /^Stop/ }).count()).toBe(0);
});

it('a real LiveKit without Redis refuses, and then nothing is offered', async () => {
  const livekit = await LiveKit.start({ name: 'record-livekit' });
  const server = await Roomwatch.start({
    name: 'record-real',
    config: config(livekit.url, userToml('otto', 'operator')),
  });
  try {
    await server.login({ user: 'otto' });
    await livekit.createRoom('standup');
    const refused = await server.request('POST', '/api/egress', { preset: 'archive', room: 'standup' });
    expect([refused.status, refused.json.error.code]).toEqual([502, 'livekit_failed']);
    expect(refused.json.error.message).toContain('egress not connected (redis required)');
    const web = await server.request('POST', '/api/egress', { preset: 'slides', url: 'https://slides.example.com/' });
    expect([web.status, web.json.error.code]).toEqual([502, 'livekit_failed']);
    const stopped = await server.request('DELETE', '/api/egress/EG_1');
    expect([stopped.status, stopped.json.error.code]).toEqual([502, 'livekit_failed']);
    expect((await server.request('GET', '/api/ingress')).json).toEqual({ ingress: [], more: false, available: false });
    await until(
      'Roomwatch to know',
      async () => (await server.get('/api/projects')).projects[0].egress === 'unavailable',
    );
    expect((await server.get('/api/projects')).projects[0].egressPresets).toEqual([]);
  } finally {
    await Promise.all([server.close(), livekit.kill()]);
  }
});
