import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { ARTIFACTS } from './child.js';
import { PASSWORD, type Roomwatch } from './roomwatch.js';

/** The rules of WCAG 2.2 AA that a program can check. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Signs in through the page, as an operator does, and waits for the overview. */
export async function signIn(page: Page, roomwatch: Roomwatch, password = PASSWORD): Promise<void> {
  await page.goto(`${roomwatch.url}/sign-in`);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation').first().waitFor();
}

/** Opens a page of an operator who is already signed in. */
export async function operatorPage(
  browser: Browser,
  roomwatch: Roomwatch,
  { user, ...options }: Parameters<Browser['newContext']>[0] & { user?: string } = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const answer = await context.request.post(`${roomwatch.url}/api/login`, { data: { user, password: PASSWORD } });
  if (!answer.ok()) throw new Error(`the sign-in failed: ${answer.status()} ${await answer.text()}`);
  return context.newPage();
}

/** Returns what axe finds wrong with the present page, one finding a line. */
export async function axe(page: Page): Promise<string[]> {
  // Wait until transitions have ended: axe would measure colours that are still fading. Endless animations are ignored.
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .filter((animation) => animation.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY)
        .map((animation) => animation.finished.catch(() => undefined)),
    ),
  );
  const { violations } = await new AxeBuilder({ page })
    // Experimental in this version of axe, and without a tag of WCAG.
    .options({ rules: { 'label-content-name-mismatch': { enabled: true } } })
    .withTags(RULES)
    .analyze();
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help} (${node.target.join(' ')}) ${node.failureSummary ?? ''}`),
  );
}

/** Records the errors of the page: exceptions, and errors of the browser (the content security policy, a missing file). */
export function complaints(context: BrowserContext): string[] {
  const found: string[] = [];
  context.on('weberror', (error) => found.push(String(error.error())));
  context.on('console', (message) => {
    // These are expected while a test has stopped a server.
    if (
      message.type() === 'error' &&
      !/ERR_CONNECTION|Failed to load resource|ERR_INCOMPLETE_CHUNKED|ERR_NETWORK/.test(message.text())
    )
      found.push(message.text());
  });
  return found;
}

/** Takes a picture that explains a failure. */
export async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(ARTIFACTS, `${name}.png`) });
}
