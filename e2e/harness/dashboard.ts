import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { ARTIFACTS } from './child.js';
import { PASSWORD, type Roomwatch } from './roomwatch.js';

/** What of WCAG 2.2 AA a program can check. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Signs in through the page, as an operator does, and returns on the overview. */
export async function signIn(page: Page, roomwatch: Roomwatch, password = PASSWORD): Promise<void> {
  await page.goto(`${roomwatch.url}/sign-in`);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation').first().waitFor();
}

/** A page of an operator who is signed in already. */
export async function operatorPage(
  browser: Browser,
  roomwatch: Roomwatch,
  { user, ...options }: Parameters<Browser['newContext']>[0] & { user?: string } = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const answer = await context.request.post(`${roomwatch.url}/api/login`, { data: { user, password: PASSWORD } });
  if (!answer.ok()) throw new Error(`nobody is signed in: ${answer.status()} ${await answer.text()}`);
  return context.newPage();
}

/** What axe finds wrong with the page as it is now, one line a finding. */
export async function axe(page: Page): Promise<string[]> {
  // Colours that fade in are no colours yet; what pulses for ever is not waited for.
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .filter((animation) => animation.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY)
        .map((animation) => animation.finished.catch(() => undefined)),
    ),
  );
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help} (${node.target.join(' ')}) ${node.failureSummary ?? ''}`),
  );
}

/** Errors of the page: exceptions, and what the browser itself complains of (the content security policy, a missing file). */
export function complaints(context: BrowserContext): string[] {
  const found: string[] = [];
  context.on('weberror', (error) => found.push(String(error.error())));
  context.on('console', (message) => {
    // While a server is away on purpose, the browser says so.
    if (
      message.type() === 'error' &&
      !/ERR_CONNECTION|Failed to load resource|ERR_INCOMPLETE_CHUNKED|ERR_NETWORK/.test(message.text())
    )
      found.push(message.text());
  });
  return found;
}

/** A picture for whoever reads a failure. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(ARTIFACTS, `${name}.png`) });
}
