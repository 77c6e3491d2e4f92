import { Download } from 'lucide-react';
import { useState } from 'react';
import { partFile } from '@/page-file';
import { Button } from '@/ui/button';
import type { ExportProps } from './export-dialog';

const ExportDialog = partFile(async () => (await import('./export-dialog')).ExportDialog);

/** Button that saves the list of a page as a file. */
export function ExportButton({ reason, ghost, ...props }: ExportProps & { reason?: string | null; ghost?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button
        reason={reason}
        variant={ghost ? 'ghost' : 'outline'}
        className={ghost ? '!h-6 text-xs' : ''}
        onClick={() => setOpen(true)}
      >
        <Download size={14} aria-hidden /> Export
      </Button>
      {open ? <ExportDialog {...props} onClose={() => setOpen(false)} /> : null}
    </>
  );
}
