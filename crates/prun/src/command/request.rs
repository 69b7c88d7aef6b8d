//! The one way from the flags to what the commands carry out.

use super::services::{ServicesCommand, ToolArguments};
use super::{
    ExecArguments, InitArguments, InjectedArguments, InjectedFormat, ListArguments, LogsArguments, ProjectArguments,
    ResumeArguments, StopArguments,
};
use crate::plan::PlannedService;
use crate::plan::error::PlanError;
use crate::plan::request::{
    Attachment, Choice, Data, ExecRequest, ImportRequest, InitRequest, InjectedForm, InjectedRequest, ListForm,
    ListRequest, LogsRequest, ResumeRequest, Rotated, ServicesRequest, StopRequest, ToolRequest,
};

impl ProjectArguments {
    pub(crate) fn choice(&self) -> Choice {
        Choice { name: self.project.clone(), config: self.config.clone() }
    }
}

impl StopArguments {
    pub(crate) fn request(&self) -> StopRequest {
        StopRequest { project: self.project.choice(), data: data(self.purge, self.yes) }
    }
}

impl LogsArguments {
    pub(crate) fn request(&self) -> LogsRequest {
        LogsRequest {
            project: self.project.choice(),
            of: self.of.clone(),
            failed: self.failed,
            follow: self.follow,
            tail: self.tail,
        }
    }
}

impl ExecArguments {
    pub(crate) fn request(&self) -> ExecRequest {
        ExecRequest {
            project: self.project.choice(),
            instance: self.instance.clone(),
            user: self.user.clone(),
            attachment: Attachment { interactive: self.interactive, tty: self.tty },
            command: self.command.clone(),
        }
    }
}

impl InitArguments {
    pub(crate) fn request(&self) -> InitRequest {
        InitRequest { project: self.project.choice(), names: self.names.clone() }
    }
}

impl ResumeArguments {
    pub(crate) fn request(&self) -> ResumeRequest {
        if self.print_unit {
            return ResumeRequest::PrintUnit;
        }
        if self.install {
            return ResumeRequest::InstallUnit(self.units.clone());
        }
        self.project.clone().map_or(ResumeRequest::All, ResumeRequest::Project)
    }
}

impl InjectedArguments {
    pub(crate) fn request(&self) -> InjectedRequest {
        let form = match (&self.reveal, self.format) {
            (Some(name), _) => InjectedForm::Value(name.clone()),
            (None, InjectedFormat::Table) => InjectedForm::Table,
            (None, InjectedFormat::Env) => InjectedForm::Lines,
            (None, InjectedFormat::Json) => InjectedForm::Json,
        };
        InjectedRequest { project: self.project.choice(), form }
    }
}

impl ListArguments {
    pub(crate) fn request(&self) -> ListRequest {
        let form = if self.json { ListForm::Json } else { ListForm::Table };
        ListRequest { project: self.project.choice(), form }
    }
}

impl ToolArguments {
    fn request(&self) -> ToolRequest {
        ToolRequest { project: self.project.choice(), service: self.service.clone(), database: self.database.clone() }
    }
}

impl ServicesCommand {
    /// Returns what the flags ask for.
    ///
    /// # Errors
    ///
    /// If a service is not spelled as one.
    pub(crate) fn request(&self) -> Result<ServicesRequest, PlanError> {
        Ok(match self {
            Self::Rotate(arguments) => ServicesRequest::Rotate {
                project: arguments.project.choice(),
                services: if arguments.all { Rotated::All } else { Rotated::Named(arguments.names.clone()) },
            },
            Self::Add(arguments) => ServicesRequest::Add {
                project: arguments.project.choice(),
                service: PlannedService::of_flag(&arguments.service)?,
            },
            Self::Remove(arguments) => ServicesRequest::Remove {
                project: arguments.project.choice(),
                service: arguments.name.clone(),
                data: data(arguments.purge, arguments.yes),
            },
            Self::List(arguments) => ServicesRequest::List(arguments.request()),
            Self::Import(arguments) => ServicesRequest::Import(ImportRequest {
                project: arguments.project.choice(),
                service: arguments.service.clone(),
                volume: arguments.volume.clone(),
                database: arguments.database.clone(),
                administrator: arguments.user.clone(),
            }),
            Self::Reset(arguments) => ServicesRequest::Reset(ImportRequest {
                project: arguments.project.choice(),
                service: arguments.service.clone(),
                volume: arguments.volume.clone(),
                database: arguments.database.clone(),
                administrator: arguments.user.clone(),
            }),
            Self::Shell(arguments) => ServicesRequest::Shell(arguments.tool.request(), arguments.arguments.clone()),
            Self::Dump(arguments) => ServicesRequest::Dump(arguments.request()),
            Self::Load(arguments) => {
                ServicesRequest::Load { tool: arguments.tool.request(), replace: arguments.replace }
            }
        })
    }
}

fn data(purge: bool, yes: bool) -> Data {
    match (purge, yes) {
        (false, _) => Data::Kept,
        (true, false) => Data::RemovedOnConfirmation,
        (true, true) => Data::Removed,
    }
}
