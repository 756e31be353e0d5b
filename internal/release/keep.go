package release

import "time"

// KeepReleases takes over from an earlier catalogue what this one does not make any
// more, such as a minor's patch before the newest: clusters go on running it, and their
// control planes and machines are made of its images. there says whether these still
// exist. A version that no plan covers any more (Retired) is left behind (F4). One that is
// made anew keeps its own images of components, and a new patch has those of the patch before.
func (c *Catalogue) KeepReleases(before *Catalogue, now time.Time, there func(Release) bool) {
	for i := range c.Releases {
		was, made := before.Release(c.Releases[i].Version)
		if !made {
			was, _ = before.LatestPatch(c.Releases[i].Minor())
		}
		c.Releases[i].Images = was.Images
	}
	for _, r := range before.Sorted() {
		if _, made := c.Release(r.Version); made || !there(r) {
			continue
		}
		r.Default = false
		if life := LifeOf(r.Minor()); life != (Life{}) {
			r.Life = life
		}
		if c.StateAt(r, PlanLTS, now) != Retired {
			c.Releases = append(c.Releases, r)
		}
	}
}
