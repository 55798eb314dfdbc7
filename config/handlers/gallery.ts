/**
 * A worked example: the media of picture galleries. In the configuration:
 *
 *   [handlers.gallery]
 *   handler = "./config/handlers/gallery.ts"
 *   options = { image_pool = "residential-us" }
 *
 * The manifest names the gallery: `"metadata": { "gallery": "autumn-2026", "page": "https://example.com/g/17" }`. A key
 * contains the kind of media: `galleries/autumn-2026/images/cover.jpg`. Each request has the gallery's page as its
 * Referer, as in a browser. The handler rejects HTML in place of a picture.
 */
import type { JobContext, JobHandler, Manifest, Resource, TaskSpec } from "./fetchbox.d.ts";

const KINDS: Readonly<Record<string, readonly string[]>> = {
  images: ["jpg", "jpeg", "png", "gif", "webp", "avif", "svg"],
  videos: ["mp4", "webm", "mkv", "mov"],
  audio: ["mp3", "ogg", "flac", "m4a", "wav"],
};
const MEDIA_TYPES: Readonly<Record<string, string>> = { images: "image/*", videos: "video/*", audio: "audio/*" };

export default function gallery(options: Readonly<Record<string, unknown>>): JobHandler {
  const imagePool = typeof options["image_pool"] === "string" ? options["image_pool"] : undefined;
  return {
    prepare(manifest) {
      const name = manifest.metadata?.["gallery"];
      if (typeof name !== "string" || !/^[a-z0-9-]{1,64}$/.test(name)) {
        throw manifestError("/metadata/gallery", "must name the gallery by 1 to 64 of a-z, 0-9 and '-'");
      }
      return manifest;
    },
    *buildTasks(manifest, context) {
      for (const resource of manifest.resources) yield task(resource, manifest, context, imagePool);
    },
  };
}

function task(resource: Resource, manifest: Manifest, context: JobContext, imagePool: string | undefined): TaskSpec {
  const kind = kindOf(resource);
  const contentType = resource.content_type ?? MEDIA_TYPES[kind];
  const proxyPool = resource.proxy_pool ?? (kind === "images" ? imagePool : undefined) ?? context.handler.proxyPool;
  return {
    resourceId: resource.id,
    url: resource.url,
    headers: { ...context.handler.defaultHeaders, ...refererOf(manifest), ...resource.headers },
    key: `galleries/${String(manifest.metadata?.["gallery"])}/${kind}/${resource.id}`,
    rejectHtml: resource.reject_html ?? true,
    ...(contentType !== undefined && { contentType }),
    ...(proxyPool !== undefined && { proxyPool }),
    ...(resource.checksum !== undefined && { checksum: resource.checksum }),
    ...(resource.size !== undefined && { size: resource.size }),
    ...(resource.tags !== undefined && { tags: resource.tags }),
  };
}

/** The kind by the manifest's content type, or else by the ending of the URL. */
function kindOf({ content_type: type, url }: Resource): string {
  const byType = Object.entries(MEDIA_TYPES).find(([, media]) => type?.startsWith(media.slice(0, -1)) === true)?.[0];
  const ending = /\.([a-z0-9]+)$/i.exec(new URL(url).pathname)?.[1]?.toLowerCase() ?? "";
  const byEnding = Object.entries(KINDS).find(([, endings]) => endings.includes(ending))?.[0];
  return byType ?? byEnding ?? "other";
}

function refererOf({ metadata }: Manifest): Readonly<Record<string, string>> {
  const page = metadata?.["page"];
  return typeof page === "string" ? { Referer: page } : {};
}

/** An error that rejects the manifest with 400 and the place: FetchBox recognizes it by its name. */
function manifestError(path: string, message: string): Error {
  return Object.assign(new Error("the gallery's manifest is invalid"), {
    name: "ManifestError",
    details: [{ path, message }],
  });
}
