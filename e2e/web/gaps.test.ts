// History that was lost with a damaged file is shown as missing.
import { execFileSync } from 'node:child_process';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch } from '../harness/browser.js';
import { axe, complaints, operatorPage, picture } from '../harness/dashboard.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { finished, joined, post, started } from './post.js';

const FROM = Date.UTC(2026, 8, 1, 10);
const TO = Date.UTC(2026, 8, 2, 12);

let roomwatch: Roomwatch;
let browser: Browser;

beforeAll(async () => {
  roomwatch = await Roomwatch.start({ name: 'gaps', env: { ROOMWATCH_RECONCILE_SECS: '0' } });
  for (const one of [started('standup'), joined('standup', 'alice'), finished('standup')]) await post(roomwatch, one);
  await roomwatch.stop();
  const insert = `import sqlite3; db = sqlite3.connect('${roomwatch.dataDir}/derived.db'); db.execute('INSERT INTO gaps VALUES (${FROM}, ${TO})'); db.commit()`;
  execFileSync('python3', ['-c', insert]);
  await roomwatch.up();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await roomwatch?.close();
});

it('on the Sessions page, with a filter of time too, as a condition, and in /readyz', async () => {
  const page = await operatorPage(browser, roomwatch, { reducedMotion: 'reduce', timezoneId: 'UTC' });
  const found = complaints(page.context());
  await page.goto(`${roomwatch.url}/sessions`);
  const note = page.getByRole('note').filter({ hasText: 'Sessions are missing from' });
  await note.waitFor();
  expect(await note.textContent()).toMatch(/1 Sep.*10:00.*2 Sep.*12:00.*lost with a damaged file/);
  await picture(page, 'gaps');
  expect(await axe(page)).toEqual([]);
  await page.goto(`${roomwatch.url}/sessions?last=1h`);
  await page.getByText('standup').first().waitFor();
  expect(await note.count()).toBe(0);
  await page.goto(`${roomwatch.url}/`);
  await page.getByText('A part of the history is missing').first().waitFor();
  const readyz = await (await fetch(`${roomwatch.url}/readyz?verbose`)).text();
  expect(readyz).toContain(`history: rows from ${FROM} to ${TO} are missing`);
  expect(found).toEqual([]);
});
