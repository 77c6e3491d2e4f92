import { PageHeader } from '@/ui/panel';

export function Settings() {
  return <PageHeader title="Settings" />;
}
