// Issue 16: the questions of an operator, each answered on the screen in at most four clicks. LiveKit and the participants
// are real. Signed webhooks stand in for what LiveKit cannot be made to do here: yesterday, egress, and telephones.
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { Cast, type Person } from '../harness/cast.js';
import { axe, operatorPage, picture } from '../harness/dashboard.js';
import { Hand, Plays } from '../harness/hand.js';
import { API_KEY, API_SECRET, LiveKit } from '../harness/livekit.js';
import { Roomwatch, userToml } from '../harness/roomwatch.js';
import { freePort, until } from '../harness/wait.js';
import { post } from './post.js';

const DAY_MS = 86_400_000;
/** The call of yesterday: 14:03:11 UTC. */
const DROP = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS + ((14 * 60 + 3) * 60 + 11) * 1_000;

let livekit: LiveKit;
let roomwatch: Roomwatch;
let cast: Cast;
let browser: Browser;
let page: Page;
let troll: Person;
const plays = new Plays();
const play = plays.play.bind(plays);

beforeAll(async () => {
  const port = await freePort();
  livekit = await LiveKit.start({
    name: 'scenarios-livekit',
    webhooks: [`http://127.0.0.1:${port}/api/webhooks/livekit`],
    yaml: 'room:\n  enable_remote_unmute: true\n  departure_timeout: 1\n',
  });
  roomwatch = await Roomwatch.start({
    name: 'scenarios-roomwatch',
    port,
    env: { ROOMWATCH_RECONCILE_SECS: '2' },
    config: `${userToml('olga', 'admin')}${userToml('victor', 'viewer')}
[[projects]]
name = "production"
url = "${livekit.url}"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
[attention]
agent_missing_secs = 2
agent_alone_secs = 2
livekit_unreachable_secs = 2
disk_free_percent = 0
disk_free_mib = 0
[[attention.agents]]
rooms = "voice-*"
`,
  });
  await roomwatch.login({ user: 'olga' });
  [cast, browser] = await Promise.all([Cast.start(livekit, 'scenarios-cast'), launch()]);
});
afterEach(async () => {
  await page?.context().close();
});
afterAll(async () => {
  plays.print();
  await browser?.close();
  await cast?.crash();
  await livekit?.kill();
  await roomwatch?.close();
});

/** Opens the overview, and returns the hand of its user. The clock runs from here. */
async function sits(user: 'olga' | 'victor', path = '/', options: BrowserContextOptions = {}): Promise<Hand> {
  page = await operatorPage(browser, roomwatch, { user, reducedMotion: 'reduce', timezoneId: 'UTC', ...options });
  page.setDefaultTimeout(30_000);
  await page.goto(`${roomwatch.url}${path}`);
  await page.getByRole('button', { name: /^Connection:\s*Live/ }).waitFor();
  return new Hand(page);
}

const nav = (name: string) => page.getByRole('navigation').first().getByRole('link', { name });
const attention = () => page.getByRole('region', { name: /^Needs attention/ });
const condition = (text: string) => attention().getByRole('listitem').filter({ hasText: text });
const summary = () => page.getByRole('region', { name: 'Summary' });
const fact = (name: string) => page.locator(`//dt[.='${name}']/following-sibling::dd`).innerText();

it('4: one look says that everything is fine', async () => {
  await cast.join('standup', 'mara', { name: 'Mara Lindqvist' });
  await until('the first comparison', async () => (await roomwatch.get('/api/projects')).projects[0].reconciledAt);
  const hand = await sits('olga');
  const answer = await play('4 Everything fine?', hand, async () => {
    await attention().getByText('Nothing needs attention.').waitFor();
    return attention().locator('p').innerText();
  });
  expect(answer).toMatch(/^Nothing needs attention\. Synced /);
  expect(await page.title()).toBe('Overview · Roomwatch');
  expect(await page.locator('link[rel=icon]').getAttribute('href')).not.toContain('alert');
  expect(hand.clicks).toBe(0);
});

it('2: who left the dropped call of yesterday first, and why', async () => {
  const of = (seconds: number) => ({
    room: { sid: 'RM_consult', name: 'consult-7719', creationTimeMs: String(DROP - 900_000) },
    createdAt: String((DROP - 900_000) / 1_000 + seconds),
  });
  const person = (identity: string, name: string, joined: number) => ({
    sid: `PA_${identity}`,
    identity,
    name,
    joinedAtMs: String(DROP - 900_000 + joined * 1_000),
  });
  const [weiss, jana] = [person('weiss', 'Dr. Weiss', 5), person('jana', 'Jana Novak', 20)];
  for (const event of [
    { event: 'room_started', ...of(0) },
    { event: 'participant_joined', ...of(5), participant: { ...weiss, state: 'ACTIVE' } },
    { event: 'participant_joined', ...of(20), participant: { ...jana, state: 'ACTIVE' } },
    { event: 'participant_left', ...of(900), participant: { ...weiss, disconnectReason: 'SIGNAL_CLOSE' } },
    { event: 'participant_left', ...of(941), participant: { ...jana, disconnectReason: 'CLIENT_INITIATED' } },
    { event: 'room_finished', ...of(950) },
  ])
    await post(roomwatch, event);
  const hand = await sits('olga');
  const answer = await play('2 Dropped call, yesterday 14:03', hand, async () => {
    await hand.click(nav('Sessions'));
    await hand.click(page.getByRole('button', { name: 'Connection lost', exact: true }));
    await hand.click(page.getByRole('link', { name: 'consult-7719' }));
    await summary().waitFor();
    return summary().innerText();
  });
  expect(answer).toContain('Dr. Weiss left first at 14:03:11: connection lost. Jana Novak left 41s later.');
  expect(answer).not.toContain('record');
  // The reason is at the end of the bar, where it happened.
  await page.getByText('Connection lost').first().waitFor();
  await picture(page, 'scenario-2');
});

it('2: the same of a participant whose process has just died', async () => {
  const doomed = await Cast.start(livekit, 'scenarios-doomed');
  await doomed.join('consult-8802', 'weiss', { name: 'Dr. Weiss' });
  const jana = await cast.join('consult-8802', 'jana', { name: 'Jana Novak' });
  await doomed.crash();
  await until('LiveKit to have noticed', async () => {
    const { sessions } = await roomwatch.get('/api/sessions?room=consult-8802');
    return sessions[0]?.lostConnections === 1;
  });
  await jana.leave();
  const hand = await sits('olga');
  const answer = await play('2 Dropped call, a minute ago', hand, async () => {
    await hand.click(nav('Sessions'));
    await hand.click(page.getByRole('link', { name: 'consult-8802' }));
    await summary().getByText('Jana Novak').waitFor();
    return summary().innerText();
  });
  expect(answer).toMatch(
    /^Dr\. Weiss left first at \d\d:\d\d:\d\d: connection (lost|timed out)\. Jana Novak left (\d+s later|at the same time)\./,
  );
});

it('3: which rooms have no agent though they should have one, and since when', async () => {
  for (const room of ['voice-2201', 'voice-2202', 'voice-2204']) await cast.join(room, `caller-${room}`);
  await cast.join('voice-2202', 'agent-helper', { kind: 'agent', grant: { agent: true } });
  const hand = await sits('olga');
  await condition('No agent in voice-2204').waitFor();
  const answer = await play('3 Rooms without their agent', hand, async () => {
    await hand.click(nav('Agents'));
    const rooms = page.getByRole('region', { name: 'Rooms without their agent' });
    await rooms.getByText('voice-2204').waitFor();
    return (await rooms.getByRole('listitem').allInnerTexts()).sort().join('; ');
  });
  expect(answer.replaceAll(/\s+/g, ' ')).toMatch(/^voice-2201 waiting for \d+s; voice-2204 waiting for \d+s$/);
  expect(await axe(page)).toEqual([]);
  // The agent comes, and the row goes.
  await cast.join('voice-2204', 'agent-second', { kind: 'agent', grant: { agent: true } });
  await page.getByRole('heading', { name: 'Rooms without their agent · 1' }).waitFor();
});

it('4: one look says what is wrong', async () => {
  const hand = await sits('olga');
  const answer = await play('4 What is wrong?', hand, async () => {
    await condition('No agent in voice-2201').waitFor();
    return (await condition('No agent in voice-2201').locator('p').first().innerText()).trim();
  });
  expect(answer).toBe('No agent in voice-2201');
  await page.waitForFunction(() => document.title === '(1) Overview · Roomwatch');
  expect(await page.locator('link[rel=icon]').getAttribute('href')).toContain('favicon-alert.svg');
  expect(hand.clicks).toBe(0);
});

it('5: a microphone is muted, and the feed says by whom', async () => {
  troll = await cast.join('townhall', 'troll', { name: 'xX_troll_Xx' });
  await cast.join('townhall', 'ann', { name: 'Ann' });
  await troll.publish('microphone');
  const tracks = async () =>
    (await livekit.listParticipants('townhall')).find((one) => one.identity === 'troll')?.tracks ?? [];
  await until('the microphone', async () => (await tracks()).length === 1);
  const hand = await sits('olga');
  await page
    .getByRole('region', { name: 'Busiest rooms' })
    .getByRole('link', { name: /^townhall/ })
    .waitFor();
  const answer = await play('5a Mute a microphone', hand, async () => {
    await hand.click(page.getByRole('region', { name: 'Busiest rooms' }).getByRole('link', { name: /^townhall/ }));
    await hand.click(page.getByRole('button', { name: 'Actions for xX_troll_Xx' }));
    await hand.click(page.getByRole('menuitem', { name: 'Mute microphone' }));
    await until('LiveKit to have muted it', async () => (await tracks())[0]?.muted);
    const said = page.getByText('xX_troll_Xx’s microphone was muted by olga').first();
    await said.waitFor();
    return said.innerText();
  });
  expect(answer).toContain('muted by olga');
});

it('12: the same on a phone', async () => {
  const sid = await troll.publish('microphone');
  const mic = async () =>
    (await livekit.listParticipants('townhall'))
      .find((one) => one.identity === 'troll')
      ?.tracks.find((track: { sid: string }) => track.sid === sid);
  await until('the second microphone', mic);
  const hand = await sits('olga', '/', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const answer = await play('12 Mute on a phone', hand, async () => {
    await hand.click(page.getByRole('region', { name: 'Busiest rooms' }).getByRole('link', { name: /^townhall/ }));
    await hand.click(page.getByRole('button', { name: 'Actions for xX_troll_Xx' }));
    await hand.click(page.getByRole('menuitem', { name: /^Mute microphone/ }).last());
    await until('LiveKit to have muted it', async () => (await mic())?.muted);
    const said = page.getByText('xX_troll_Xx’s microphone was muted by olga').first();
    await said.waitFor();
    return said.innerText();
  });
  expect(answer).toContain('muted by olga');
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  // A finger is wider than a line of text: what is 24 pixels high can be hit (WCAG 2.5.8).
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('main a, main button, nav a, header button')]
      .filter((element) => element.checkVisibility())
      .filter((element) => {
        element.scrollIntoView({ block: 'center' });
        const box = element.getBoundingClientRect();
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        return [-11, 11].some((off) => {
          const hit = document.elementFromPoint(x, y + off);
          return !element.contains(hit) && !hit?.contains(element);
        });
      })
      .map((element) => element.textContent?.slice(0, 40)),
  );
  expect(small).toEqual([]);
  await picture(page, 'scenario-12');
});

it('6: a room is watched, and its participants see nothing of it', async () => {
  await troll.publish('camera');
  const hand = await sits('olga', '/rooms/townhall');
  const answer = await play('6 Watch silently', hand, async () => {
    await hand.click(page.getByRole('button', { name: 'Watch', exact: true }));
    await hand.click(page.getByRole('button', { name: 'Start watching' }));
    await page.getByText('Hidden', { exact: true }).waitFor();
    await page.getByLabel('Camera of xX_troll_Xx').waitFor();
    return page.getByText('Hidden', { exact: true }).innerText();
  });
  expect(answer).toBe('Hidden');
  expect(await troll.others()).toEqual(['ann']);
});

it('5: a participant is removed', async () => {
  const hand = await sits('olga');
  const answer = await play('5b Remove a troll', hand, async () => {
    await hand.click(page.getByRole('region', { name: 'Busiest rooms' }).getByRole('link', { name: /^townhall/ }));
    await hand.click(page.getByRole('button', { name: 'Actions for xX_troll_Xx' }));
    await hand.click(page.getByRole('menuitem', { name: 'Remove' }));
    await hand.click(page.getByRole('dialog').getByRole('button', { name: 'Remove' }));
    const said = page
      .getByRole('main')
      .getByText(/removed by olga/)
      .first();
    await said.waitFor();
    return said.innerText();
  });
  expect(answer).toContain('removed by olga');
  await until('the client to know', async () => !(await troll.connected()));
});

it('5: a stuck room is found and ended', async () => {
  await cast.join('stuck', 'agent-lonely', { kind: 'agent', grant: { agent: true } });
  const hand = await sits('olga');
  await condition('Agent alone in stuck').waitFor();
  const answer = await play('5c End a stuck room', hand, async () => {
    await hand.click(condition('Agent alone in stuck').getByRole('link', { name: 'stuck' }));
    await hand.click(page.getByRole('button', { name: 'End room' }));
    await hand.click(page.getByRole('dialog').getByRole('button', { name: 'End room' }));
    const said = page.getByText('Ended by olga').first();
    await said.waitFor();
    return said.innerText();
  });
  expect(answer).toMatch(/^Ended by olga/i);
  expect(await livekit.listRooms().then((rooms) => rooms.map((room) => room.name))).not.toContain('stuck');
});

it('8: which recordings failed, and why', async () => {
  const [townhall] = (await livekit.listRooms()).filter((room) => room.name === 'townhall');
  await post(roomwatch, {
    event: 'egress_ended',
    egressInfo: {
      egressId: 'EG_failed',
      roomId: townhall.sid,
      roomName: 'townhall',
      status: 'EGRESS_FAILED',
      error: 'S3 answered 403 Forbidden',
      roomComposite: { roomName: 'townhall', fileOutputs: [{ filepath: 'townhall.mp4' }] },
      startedAt: `${Date.now() - 60_000}000000`,
      updatedAt: `${Date.now()}000000`,
      endedAt: `${Date.now()}000000`,
    },
  });
  const hand = await sits('olga');
  await condition('Recording failed of townhall · S3 answered 403 Forbidden').waitFor();
  const answer = await play('8 Failed recordings', hand, async () => {
    await hand.click(nav('Recordings'));
    await hand.click(page.getByRole('group', { name: 'Status' }).getByRole('button', { name: /^Failed/ }));
    const row = page.getByRole('list', { name: 'Egress' }).getByRole('listitem');
    await row.first().waitFor();
    return row.first().innerText();
  });
  expect(answer).toContain('townhall');
  expect(answer).toContain('S3 answered 403 Forbidden');
  await page.getByText('1 entry shown').waitFor();
});

it('9: why a phone call failed', async () => {
  const [townhall] = (await livekit.listRooms()).filter((room) => room.name === 'townhall');
  const caller = {
    sid: 'PA_caller',
    identity: 'sip_+4915112345678',
    name: 'Phone +4915112345678',
    kind: 'SIP',
    joinedAtMs: String(Date.now() - 20_000),
    attributes: {
      'sip.phoneNumber': '+4915112345678',
      'sip.trunkID': 'ST_berlin',
      'sip.callID': 'SCL_77',
      'sip.callStatus': 'dialing',
    },
  };
  const of = { room: { sid: townhall.sid, name: 'townhall' } };
  await post(roomwatch, { event: 'participant_joined', ...of, participant: { ...caller, state: 'ACTIVE' } });
  await post(roomwatch, {
    event: 'participant_left',
    ...of,
    participant: { ...caller, state: 'DISCONNECTED', disconnectReason: 'USER_REJECTED' },
  });
  const hand = await sits('olga');
  await condition('Call failed in townhall · declined or busy · Phone +4915112345678').waitFor();
  const answer = await play('9 Failed phone call', hand, async () => {
    await hand.click(nav('Calls'));
    await hand.click(page.getByRole('group', { name: 'Outcome' }).getByRole('button', { name: /^All trouble/ }));
    const row = page.getByRole('list', { name: 'Calls' }).getByRole('listitem');
    await row.first().waitFor();
    return row.first().innerText();
  });
  expect(answer).toMatch(/\+4915112345678\s+in townhall\s+declined or busy/i);
  expect(answer).toContain('trunk ST_berlin');
  expect(answer).toContain('SCL_77');
  // The session says the same, and does not blame another participant.
  await hand.click(page.getByRole('list', { name: 'Calls' }).getByRole('link', { name: 'townhall' }));
  await summary()
    .getByText(/call of.*failed at \d\d:\d\d:\d\d: declined or busy/i)
    .waitFor();
  expect(hand.clicks).toBe(3);
});

it('10: everything about one participant', async () => {
  const hand = await sits('olga');
  const answer = await play('10 Everything about one user', hand, async () => {
    await hand.press('Control+k');
    await hand.type('lindq');
    await page.getByRole('option', { name: /^Mara Lindqvist/, selected: true }).waitFor();
    await hand.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Mara Lindqvist' }).waitFor();
    const facts = ['Sessions', 'Rooms', 'Connection losses', 'Last seen'];
    return (await Promise.all(facts.map(async (name) => `${name} ${await fact(name)}`))).join(', ');
  });
  expect(answer).toBe('Sessions 1, Rooms 1, Connection losses 0, Last seen now');
  await page.getByRole('region', { name: 'Now' }).getByRole('link', { name: 'standup' }).waitFor();
  await page.getByRole('region', { name: 'Events' }).getByText('Mara Lindqvist').first().waitFor();
});

it('11: a viewer sees it all, and each action says which role it needs', async () => {
  const hand = await sits('victor');
  await condition('No agent in voice-2201').waitFor();
  const answer = await play('11 Viewer', hand, async () => {
    await hand.click(page.getByRole('region', { name: 'Busiest rooms' }).getByRole('link', { name: /^townhall/ }));
    await hand.click(page.getByRole('button', { name: 'Actions for Ann' }));
    const item = page.getByRole('menuitem', { name: /^Remove/ });
    await item.waitFor();
    return item.innerText();
  });
  expect(answer.replaceAll(/\s+/g, ' ')).toContain('Needs the operator role. You are a viewer.');
});

it('4: a LiveKit that is dead is not shown as fine', async () => {
  const hand = await sits('olga');
  const answer = await play('4 LiveKit is dead', hand, async () => {
    await livekit.kill();
    await condition('LiveKit does not answer').waitFor();
    await page.getByRole('button', { name: /^Connection:\s*Live · LiveKit down/ }).waitFor();
    return page.getByRole('region', { name: 'LiveKit', exact: true }).innerText();
  });
  expect(answer).toMatch(/^LiveKit has not answered since \d\d:\d\d\./);
  expect(await page.getByRole('region', { name: 'Live now' }).count()).toBe(0);
  expect(hand.clicks).toBe(0);
});
