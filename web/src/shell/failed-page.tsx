import type { ErrorComponentProps } from '@tanstack/react-router';
import { useEffect } from 'react';
import { PageFileError } from '@/page-file';
import { ErrorState } from '@/ui/states';
import { useConnectionStatus } from './connection-status';

/** Error of a page, inside the frame. A page whose file could not be loaded opens when the server is back. */
export function FailedPage({ error, reset }: ErrorComponentProps) {
  const status = useConnectionStatus();
  useEffect(() => {
    if (status === 'live' && error instanceof PageFileError) void Promise.resolve(error.retry()).then(reset);
  }, [status, error, reset]);
  const retry = async () => {
    if (error instanceof PageFileError) {
      await error.retry();
      // If the server answers and the file is missing, it has another version: then the page is loaded again.
      const page = await fetch(document.baseURI, { cache: 'no-store' }).catch(() => null);
      if (page?.ok) location.reload();
    }
    reset();
  };
  return (
    <>
      <h1 className="sr-only">Roomwatch</h1>
      <ErrorState
        error={error}
        title={error instanceof PageFileError ? 'Cannot load this page' : 'Something went wrong on this page'}
        onRetry={retry}
      />
    </>
  );
}
