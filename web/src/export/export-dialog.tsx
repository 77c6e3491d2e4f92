import { useRoomwatch } from '@roomwatch/react';
import { Download } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { buttonClass } from '@/ui/button';
import { CopyButton } from '@/ui/copy';
import { Dialog } from '@/ui/dialog';
import { Field, Select } from '@/ui/field';

/** Parameters of a list. */
export type ExportQuery = Parameters<ReturnType<typeof useRoomwatch>['client']['url']>[1];

export interface ExportProps {
  /** Name of the rows, such as "sessions". */
  name: string;
  path: string;
  /** Filters of the page. Null while they are being looked up. */
  query: ExportQuery | null;
  /** Difference between the page and the file. */
  note?: ReactNode;
  /** True for a list that no access token may read. */
  forUsers?: boolean;
  /** More choices. */
  children?: ReactNode;
}

const FORMATS = { csv: 'CSV, for spreadsheets', json: 'JSON, for programs' } as const;
type Format = keyof typeof FORMATS;

/**
 * Dialog that saves a list as a file. The browser downloads it with the cookie of the sign-in: a page could not write a file
 * of any length without holding it in memory. So the browser shows the progress, and it can cancel the download.
 */
export function ExportDialog({
  name,
  path,
  query,
  note,
  forUsers,
  children,
  onClose,
}: ExportProps & { onClose: () => void }) {
  const { client } = useRoomwatch();
  const [format, setFormat] = useState<Format>('csv');
  const address = query && client.url(path, { ...query, format });
  return (
    <Dialog
      title={`Export ${name}`}
      description={note ?? 'Everything that matches the filters of the page, also what it has not loaded yet.'}
      onClose={onClose}
    >
      <div className="grid gap-3">
        <Field
          label="Format"
          hint={
            format === 'csv'
              ? 'Times are written with their zone. A text that a spreadsheet would run as a formula begins with an apostrophe.'
              : 'One array, with one row on each line.'
          }
        >
          <Select className="w-full" value={format} onChange={({ target }) => setFormat(target.value as Format)}>
            {Object.entries(FORMATS).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </Select>
        </Field>
        {children}
      </div>
      <p className="mt-3 text-xs text-ink-2">
        Your browser shows the progress and can cancel. If it reports a failed download, the file is not complete.
      </p>
      {forUsers ? null : (
        <details className="mt-3">
          <summary className="text-xs text-ink-2">From a terminal</summary>
          <div className="mt-2 flex items-start gap-1 rounded-md bg-sunken p-2">
            <code className="min-w-0 grow font-mono text-xs break-all">{curl(address)}</code>
            <CopyButton text={curl(address)} label="Copy the command" />
          </div>
          <p className="mt-1.5 text-xs text-ink-3">
            <code>$ROOMWATCH_TOKEN</code> is a LiveKit access token with <code>roomList</code>.
          </p>
        </details>
      )}
      <div className="mt-5 flex justify-end gap-2">
        <button type="button" className={buttonClass('outline')} onClick={onClose}>
          Cancel
        </button>
        {address ? (
          <a href={address} download className={buttonClass('solid')} onClick={() => setTimeout(onClose)}>
            <Download size={14} aria-hidden /> Save
          </a>
        ) : (
          <span className={buttonClass('solid', 'opacity-50')}>Searching…</span>
        )}
      </div>
    </Dialog>
  );
}

/** Returns the curl command. The values are percent-encoded and the address is quoted, so a shell changes nothing. */
function curl(address: string | null | undefined): string {
  const whole = new URL(address ?? '', document.baseURI).href.replaceAll("'", '%27');
  return `curl -fOJ -H "Authorization: Bearer $ROOMWATCH_TOKEN" '${whole}'`;
}
