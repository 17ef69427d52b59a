/**
 * Writes the published JSON schema of `*.avis.json` from the zod schema that reads such files.
 *
 *   npx tsx test/scripts/makeConfigSchema.ts
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { configSchema } from '../../src/avis/config';

export const schemaUrl = new URL('../../media/avis-config.schema.json', import.meta.url);

/** Draft 7, which VS Code's JSON support knows best. */
export function configJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(configSchema, { target: 'draft-7' }), null, 2)}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href) {
  writeFileSync(schemaUrl, configJsonSchema());
}
