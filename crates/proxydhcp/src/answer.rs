//! What an answer says, apart from how it is encoded.

use bootplan::{BootClient, BootFile, BootPlan, EfiStyle, Endpoint, Sketch};

/// One line of a PXE boot menu (option 43 sub-options 8 and 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootItem {
    /// Item type; 0x8000 to 0xfffe are free for use, 0 means "local boot".
    pub kind: u16,
    /// What the firmware's menu shows; ASCII.
    pub title: String,
    /// The boot file that the acknowledgement for this item names.
    pub file: String,
}

/// What an answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Boot file name or URL; empty only for Raspberry Pis.
    pub file: String,
    /// How UEFI firmware is answered.
    pub efi_style: EfiStyle,
    /// A firmware menu; empty for "just boot the file".
    pub items: Vec<BootItem>,
    /// The client is a Raspberry Pi: it gets the option 43 text its ROM looks for, and no name.
    pub raspberry_pi: bool,
}

impl Answer {
    /// The answer a plan calls for.
    pub fn from_plan(plan: &BootPlan, client: &BootClient, server: &Endpoint) -> Answer {
        let mut answer = Answer::default();
        answer.set(plan.boot_file.as_ref(), plan.efi_style, client, server);
        answer
    }

    /// The answer a judgement calls for, in the memory of the last one.
    pub fn set_to(&mut self, sketch: &Sketch<'_>, client: &BootClient, server: &Endpoint) {
        self.set(sketch.boot_file.as_ref(), sketch.efi_style, client, server);
    }

    fn set(
        &mut self,
        file: Option<&BootFile>,
        efi_style: EfiStyle,
        client: &BootClient,
        server: &Endpoint,
    ) {
        self.file.clear();
        if let Some(file) = file {
            file.write_name(client.class, server, &mut self.file);
        }
        self.efi_style = efi_style;
        self.items.clear();
        self.raspberry_pi = file == Some(&BootFile::RaspberryPi);
    }
}
