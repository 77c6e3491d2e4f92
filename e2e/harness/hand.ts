import type { Locator, Page } from 'playwright-core';

/** One scenario that was played: its acts, and the seconds from the first act until the answer was on the screen. */
export type Played = { scenario: string; clicks: number; keys: number; seconds: number; answer: string };

/** The hand of an operator: it counts clicks and keys. */
export class Hand {
  clicks = 0;
  keys = 0;
  private began = performance.now();

  constructor(readonly page: Page) {}

  async click(target: Locator): Promise<void> {
    this.clicks += 1;
    await target.click();
  }

  /** Types into what has the focus. */
  async type(text: string): Promise<void> {
    this.keys += text.length;
    await this.page.keyboard.type(text);
  }

  /** Presses one key, or several at once: `Control+k`. */
  async press(key: string): Promise<void> {
    this.keys += 1;
    await this.page.keyboard.press(key);
  }

  /** Begins to measure. */
  begin(): void {
    this.began = performance.now();
  }

  /** Returns what was played, with the answer that is on the screen now. */
  played(scenario: string, answer: string): Played {
    const seconds = (performance.now() - this.began) / 1_000;
    return { scenario, clicks: this.clicks, keys: this.keys, seconds, answer };
  }
}

/** Maximum number of clicks to an answer. */
const CLICKS_MAX = 4;

/** The scenarios that a file plays. */
export class Plays {
  private readonly all: Played[] = [];

  /** Plays one scenario. `act` returns the words that answer the question. */
  async play(scenario: string, hand: Hand, act: () => Promise<string>): Promise<string> {
    hand.begin();
    const answer = await act();
    this.all.push(hand.played(scenario, answer));
    if (hand.clicks > CLICKS_MAX) throw new Error(`${scenario} takes ${hand.clicks} clicks`);
    return answer;
  }

  /** Prints what was played. */
  print(): void {
    if (this.all.length > 0) console.info(`\n${table(this.all)}\n`);
  }
}

/** A table in Markdown, with one line for each scenario. */
function table(all: Played[]): string {
  const lines = all.map(
    ({ scenario, clicks, keys, seconds, answer }) =>
      `| ${scenario} | ${clicks} | ${keys} | ${seconds.toFixed(1)} s | ${answer.replaceAll(/\s+/g, ' ').trim()} |`,
  );
  return [
    '| scenario | clicks | keys | time | answer on the screen |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n');
}
