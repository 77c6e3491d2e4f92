import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Locator, Page } from 'playwright-core';

/** Saves the list of the page in a format, and returns the name of the file and its text. */
export async function exported(page: Page, format: string, choose = async (_: Locator) => {}) {
  await page.getByRole('button', { name: 'Export', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('combobox', { name: 'Format' }).selectOption({ label: format });
  await choose(dialog);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    dialog.getByRole('link', { name: 'Save' }).click(),
  ]);
  const path = await download.path();
  await dialog.waitFor({ state: 'detached' });
  return { name: download.suggestedFilename(), path, text: readFileSync(path, 'utf8') };
}

/** Reads a CSV file with Python's own reader, which refuses what is not CSV. */
export function readCsv(path: string): Record<string, string>[] {
  const read =
    'import csv, json, sys; f = open(sys.argv[1], newline="", encoding="utf-8"); ' +
    'print(json.dumps(list(csv.DictReader(f, strict=True))))';
  return JSON.parse(execFileSync('python3', ['-c', read, path], { encoding: 'utf8' }));
}
